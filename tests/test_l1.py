"""L1 and elastic net: the conditions of the minimum hold, the duality gap bounds what is left, scikit-learn agrees."""

import numpy as np
import pytest
from helpers import rng
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import entr, log_softmax, softmax
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fastsoftmax import SoftmaxClassifier
from fastsoftmax.training import column_hessian, proximal
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.column_hessian import Hessian, pays
from fastsoftmax.training.duality import Penalised, given_by
from fastsoftmax.training.network import Network

BUNDLED = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
TIGHT = 1e-11


def data_of(name, dtype=np.float64):
    if name == "csr":
        r = rng(3)
        X = np.where(r.random((150, 40)) < 0.15, r.exponential(size=(150, 40)), 0.0)
        y = (X @ r.standard_normal((40, 4)) * 2 + r.gumbel(size=(150, 4))).argmax(axis=1)
        return csr_array(X.astype(dtype)), y
    X, y = BUNDLED[name](return_X_y=True)
    return StandardScaler().fit_transform(X).astype(dtype), y


def fitted(X, y, sample_weight=None, **params):
    options = {"solver": "coordinate-descent", "alpha": 1.0, "l1_ratio": 1.0, "tol": TIGHT, "max_iter": 500}
    return SoftmaxClassifier(**{**options, **params}).fit(X, y, sample_weight)


def all_classes(coef, intercept):
    """Weights (C, D) and biases, with the zeros of the first of two classes."""
    if len(coef) == 1:
        return np.vstack([0 * coef, coef]), np.append(0.0, intercept)
    return coef, intercept


def objective(X, targets, weights, coef, intercept, alpha, l1_ratio):
    """F and the gradient of the loss in the weights and biases, plainly."""
    X = X if isinstance(X, np.ndarray) else X.toarray()
    coef, intercept = all_classes(coef, intercept)
    log_probs = log_softmax(X.astype(float) @ coef.T + intercept, axis=1)
    loss = -(weights[:, None] * targets * log_probs).sum()
    residual = weights[:, None] * (targets.sum(axis=1, keepdims=True) * np.exp(log_probs) - targets)
    penalty = alpha * ((1 - l1_ratio) / 2 * (coef**2).sum() + l1_ratio * np.abs(coef).sum())
    return (loss + penalty) / weights.sum(), residual.T @ X, residual.sum(axis=0)


def assert_at_minimum(model, X, targets, weights=None, eps=2e-4):
    weights = np.ones(len(targets)) if weights is None else weights
    alpha, l1_ratio = model.alpha, model.l1_ratio
    value, grad, balance = objective(X, targets, weights, model.coef_, model.intercept_, alpha, l1_ratio)
    coef, _ = all_classes(model.coef_, model.intercept_)
    slope, l1 = grad + alpha * (1 - l1_ratio) * coef, alpha * l1_ratio
    free = slice(1 if len(model.coef_) == 1 else 0, None)
    zero = coef[free] == 0
    assert (np.abs(slope[free][zero]) <= l1 + eps).all()
    np.testing.assert_allclose(slope[free][~zero], -l1 * np.sign(coef[free][~zero]), rtol=0, atol=eps)
    if model.fit_intercept:
        np.testing.assert_allclose(balance, 0, atol=eps)
    assert model.loss_ == pytest.approx(value, rel=1e-9)
    return value


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("name", [*BUNDLED, "csr"])
def test_conditions_of_the_minimum(name, l1_ratio):
    X, y = data_of(name)
    model = fitted(X, y, l1_ratio=l1_ratio)
    assert model.n_iter_.shape == (1,)
    assert 0 <= model.dual_gap_ <= TIGHT * (model.loss_ + TIGHT)
    assert_at_minimum(model, X, np.eye(y.max() + 1)[y])
    assert np.all(np.diff(model.loss_curve_) <= 1e-12)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_coefficients_are_those_of_logistic_regression(name, l1_ratio):
    X, y = data_of(name)
    model = fitted(X, y, l1_ratio=l1_ratio, alpha=5.0)
    theirs = LogisticRegression(solver="saga", C=0.2, l1_ratio=l1_ratio, tol=1e-9, max_iter=20_000).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=2e-4)
    np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=2e-4)


def without_choice(coef):
    """Of 10 classes and L1 alone: the weights of a feature may all change by as much between the middle two of them."""
    low, high = np.sort(coef, axis=0)[4:6]
    return coef - np.where((low <= 0) & (high >= 0), np.clip(coef.mean(axis=0), low, high), 0.0)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_digits_are_those_of_logistic_regression(l1_ratio):
    X, y = (part[::6] for part in data_of("digits"))
    model = fitted(X, y, alpha=10.0, l1_ratio=l1_ratio)
    theirs = LogisticRegression(solver="saga", C=0.1, l1_ratio=l1_ratio, tol=1e-8, max_iter=20_000).fit(X, y)
    coef = without_choice(theirs.coef_) if l1_ratio == 1.0 else theirs.coef_
    np.testing.assert_allclose(model.coef_, coef, atol=5e-4)
    np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=5e-4)


def gap_by_definition(X, targets, weights, model):
    """F less the dual at the better of two points, without the package's help: Fenchel's conjugates in full."""
    X, l1, l2 = (
        X if isinstance(X, np.ndarray) else X.toarray(),
        model.alpha * model.l1_ratio,
        model.alpha * (1 - model.l1_ratio),
    )
    value, grad, _ = objective(X, targets, weights, model.coef_, model.intercept_, model.alpha, model.l1_ratio)
    coef, intercept = all_classes(model.coef_, model.intercept_)
    probs, grad = softmax(X @ coef.T + intercept, axis=1), grad[len(coef) - len(model.coef_) :]
    duals = []
    for q in (1.0, min(1.0, l1 / np.abs(grad).max())):
        if l2 == 0 and q * np.abs(grad).max() > l1 * (1 + 1e-9):
            continue
        mixed, excess = q * probs + (1 - q) * targets, np.maximum(np.abs(q * grad) - l1, 0)
        conjugate = (excess**2).sum() / (2 * l2) if l2 else 0.0
        duals.append((weights @ entr(mixed).sum(axis=1) - conjugate) / weights.sum())
    return value - max(duals)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "csr"])
def test_the_gap_is_that_of_the_definition(name, l1_ratio):
    X, y = data_of(name)
    targets, weights = np.eye(y.max() + 1)[y], rng(2).uniform(0.2, 2, len(y))
    for tol in (1e-1, 1e-3, 1e-5):
        model = fitted(X, y, weights, l1_ratio=l1_ratio, tol=tol)
        assert model.dual_gap_ == pytest.approx(gap_by_definition(X, targets, weights, model), rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "csr"])
def test_the_gap_bounds_what_is_left(name, l1_ratio):
    X, y = data_of(name)
    least, gaps = fitted(X, y, l1_ratio=l1_ratio).loss_, []
    for tol in (10.0, 1e-1, 1e-2, 1e-4, 1e-6):
        model = fitted(X, y, l1_ratio=l1_ratio, tol=tol)
        assert model.dual_gap_ >= model.loss_ - least - 1e-13
        gaps.append(model.dual_gap_)
    assert gaps[0] > 1e-2
    assert gaps[-1] < 1e-5
    assert np.all(np.diff(gaps) <= 0)


def test_a_ridge_alone_is_what_lbfgs_finds():
    X, y = data_of("wine")
    model = fitted(X, y, l1_ratio=0.0)
    theirs = SoftmaxClassifier(tol=1e-9, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    assert theirs.dual_gap_ is None


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "csr"])
def test_a_large_alpha_leaves_the_class_frequencies(name):
    X, y = data_of(name)
    model = fitted(X, y, alpha=1e4)
    assert (model.coef_ == 0).all()
    probs = np.bincount(y) / len(y)
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], probs, rtol=1e-9)
    expected = np.log(probs) - np.log(probs).mean() if len(probs) > 2 else np.log(probs[1:] / probs[:1])
    np.testing.assert_allclose(model.intercept_, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["wine", "csr"])
def test_weights_are_repeated_rows(name):
    X, y = data_of(name)
    times = rng(5).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), times)
    weighted, repeated = fitted(X, y, times.astype(float)), fitted(X[rows], y[rows])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-4)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-9)
    assert_at_minimum(weighted, X, np.eye(y.max() + 1)[y], times.astype(float))


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 1: 0.5}])
def test_class_weights_are_weights_of_rows(class_weight):
    X, y = data_of("wine")
    by_class = len(y) / (3 * np.bincount(y)) if class_weight == "balanced" else np.array([3.0, 0.5, 1.0])
    model = fitted(X, y, class_weight=class_weight, l1_ratio=0.7)
    assert_at_minimum(model, X, np.eye(3)[y], by_class[y])


def test_the_solver_is_chosen_by_the_penalty():
    X, y = data_of("wine")
    chosen = SoftmaxClassifier(l1_ratio=0.5).fit(X, y)
    named = SoftmaxClassifier(l1_ratio=0.5, solver="coordinate-descent").fit(X, y)
    assert chosen.dual_gap_ > 0
    np.testing.assert_array_equal(chosen.coef_, named.coef_)
    assert SoftmaxClassifier().fit(X, y).dual_gap_ is None


def test_rows_without_weight_do_not_count():
    X, y = data_of("wine")
    weights = np.ones(len(y))
    weights[::7] = 0
    spoiled = X.copy()
    spoiled[::7] = 1e6 * rng(1).standard_normal(X[::7].shape)
    model, others = fitted(spoiled, y, weights), fitted(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(model.coef_, others.coef_, atol=1e-4)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_soft_targets_smoothing_and_weights(n_classes, l1_ratio):
    r = rng(7)
    X, targets = r.standard_normal((80, 6)), r.dirichlet(np.ones(n_classes) / 2, 80)
    weights = r.exponential(size=80)
    model = fitted(X, targets, weights, l1_ratio=l1_ratio, alpha=3.0, label_smoothing=0.1)
    assert_at_minimum(model, X, 0.9 * targets + 0.1 / n_classes, weights)


def test_an_independent_solver_finds_no_less():
    """W = U - V with U, V >= 0 makes a smooth problem with bounds, for L-BFGS-B."""
    X, y = data_of("iris")
    targets, ones, shape = np.eye(3)[y], np.ones(len(y)), (3, 4)

    def value_and_grad(u):
        up, down, bias = u[:12].reshape(shape), u[12:24].reshape(shape), u[24:]
        value, grad, balance = objective(X, targets, ones, up - down, bias, 0.0, 1.0)
        value += (up + down).sum() / len(y)
        return value, np.concatenate([(grad + 1).ravel(), (1 - grad).ravel(), balance]) / len(y)

    bounds = [(0, None)] * 24 + [(None, None)] * 3
    options = {"maxiter": 10_000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-10}
    plain = minimize(value_and_grad, np.zeros(27), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    assert fitted(X, y).loss_ == pytest.approx(plain.fun, rel=1e-7)


@pytest.mark.parametrize("name", ["wine", "csr"])
def test_single_precision_and_dense_or_sparse(name):
    X, y = data_of(name)
    exact, single = fitted(X, y), fitted(X.astype(np.float32), y, tol=1e-4)
    assert single.coef_.dtype == np.float32
    assert single.loss_ == pytest.approx(exact.loss_, rel=3e-4)
    if name == "csr":
        np.testing.assert_allclose(fitted(X.toarray(), y).coef_, exact.coef_, atol=1e-4)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_f_falls_where_rows_get_sure(l1_ratio):
    """The quadratic model promises too much there: steps are halved."""
    X, y = data_of("digits")
    model = fitted(X, y, alpha=0.01, l1_ratio=l1_ratio, tol=1e-4)
    assert np.all(np.diff(model.loss_curve_) <= 1e-12)
    assert model.dual_gap_ <= 1e-4 * (model.loss_ + 1e-4)


def test_no_intercept():
    X, y = data_of("wine")
    model = fitted(X + 1.0, y, fit_intercept=False)
    assert (model.intercept_ == 0).all()
    assert_at_minimum(model, X + 1.0, np.eye(3)[y])


def test_features_as_they_come():
    for load in (load_wine, load_breast_cancer):
        X, y = load(return_X_y=True)
        model = fitted(X, y, tol=1e-4, max_iter=200)
        assert model.dual_gap_ <= 1e-4 * (model.loss_ + 1e-4)


def test_a_path_by_warm_starts_ends_where_cold_starts_do():
    X, y = data_of("wine")
    warm = SoftmaxClassifier(solver="coordinate-descent", l1_ratio=1.0, tol=TIGHT, warm_start=True, max_iter=500)
    for alpha in np.geomspace(30, 0.3, 8):
        warm.set_params(alpha=alpha).fit(X, y)
        cold = fitted(X, y, alpha=alpha)
        np.testing.assert_allclose(warm.coef_, cold.coef_, atol=1e-3)
    again = warm.fit(X, y)
    assert again.n_iter_[0] == 1


@pytest.mark.parametrize("name", ["digits", "csr"])
def test_the_same_bits_with_any_number_of_threads(name):
    X, y = data_of(name)
    one, two = (fitted(X, y, alpha=10.0, tol=1e-4, n_threads=n) for n in (1, 2))
    assert (one.coef_ == two.coef_).all()
    assert one.loss_curve_ == two.loss_curve_


def digits_at_zero(scale=1.0, convert=np.asarray):
    """What coordinate descent begins with on a half of digits, and 200 of its coordinates."""
    X, y = data_of("digits")
    network = Network(np.array([64, 10]))
    objective = ArrayObjective(convert(X[::2] * scale), y[::2], network, np.empty(0), l1=5.0)
    model = Penalised(objective, np.zeros(network.n_params), given_by(objective))
    model.evaluate()
    return model, model.columns.select(np.repeat(np.arange(1, 21), 10), np.tile(np.arange(10), 20))


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_sweeps_by_the_hessian_end_where_those_over_the_rows_do(l1_ratio, monkeypatch):
    X, y = (part[::2] for part in data_of("digits"))
    built, used = [], []
    monkeypatch.setattr(proximal, "Hessian", lambda *given: built.append(given) or Hessian(*given))
    monkeypatch.setattr(proximal, "ByHessian", lambda *given: used.append(given) or column_hessian.ByHessian(*given))
    monkeypatch.setattr(column_hessian, "SCRATCH", 2**16)  # some of the rows at a time
    model = fitted(X, y, l1_ratio=l1_ratio, alpha=10 / l1_ratio)
    assert 0 < len(built) < len(used)  # some do for more than one step
    built.clear()
    monkeypatch.setattr(column_hessian, "MOST", 0)
    over_rows = fitted(X, y, l1_ratio=l1_ratio, alpha=10 / l1_ratio)
    assert not built
    assert model.loss_ == pytest.approx(over_rows.loss_, rel=1e-9)
    np.testing.assert_allclose(model.coef_, over_rows.coef_, atol=1e-4)
    assert_at_minimum(model, X, np.eye(10)[y])


def test_the_hessian_is_that_of_the_loss(monkeypatch):
    monkeypatch.setattr(column_hessian, "SCRATCH", 1)
    model, some = digits_at_zero()
    some = model.columns.select(some.features[:50], some.classes[:50])
    model.weight[:, :-1] = 0.3 * rng(4).standard_normal((10, 64))
    model.logits = model.weight @ model.columns.data
    model.evaluate()
    p, X = model.probs, model.columns.data[some.features]
    curvature = np.where(np.eye(10)[:, :, None] == 1, p, 0.0) - p[:, None] * p[None]  # (C, C, N)
    expected = np.einsum("kn,ln,kln->kl", X, X, curvature[some.classes[:, None], some.classes], optimize=True)
    hessian = Hessian(model, some)
    places = hessian.places(some)
    np.testing.assert_allclose(hessian.matrix[places[:, None], places], expected, atol=1e-4)
    assert hessian.covers(some)
    assert not hessian.covers(model.columns.select(np.array([1, 21]), np.array([0, 0])))


@pytest.mark.parametrize(
    ("scale", "convert", "expected"),
    [(1.0, np.asarray, True), (1e14, np.asarray, False), (1e-15, np.asarray, False), (1.0, csr_array, False)],
    ids=["", "large", "small", "CSR"],
)
def test_a_hessian_is_built_where_float32_can_hold_it(scale, convert, expected):
    assert pays(*digits_at_zero(scale, convert)) == expected


def test_a_step_by_a_hessian_that_misleads_is_taken_again(monkeypatch):
    monkeypatch.setattr(proximal, "LEAST_SET", 100)
    model, _ = digits_at_zero()
    working_set, before = proximal._WorkingSet(model), model.value
    kept, search = Hessian(model, working_set._some), working_set._search
    working_set._hessian = kept
    monkeypatch.setattr(working_set, "_search", lambda *step: working_set._hessian is not kept and search(*step))
    assert working_set.step()
    assert model.value < before
    assert working_set._hessian is not kept


def test_max_iter_warns():
    X, y = data_of("wine")
    with pytest.warns(ConvergenceWarning, match=r"coordinate-descent: Maximum iterations \(2\)"):
        model = fitted(X, y, max_iter=2)
    assert model.dual_gap_ > TIGHT
    assert len(model.loss_curve_) == 2


@pytest.mark.parametrize("solver", ["newton-cg", "newton-cholesky", "sgd", "adam"])
def test_other_solvers_refuse_l1(solver):
    X, y = data_of("iris")
    with pytest.raises(ValueError, match=r"l1_ratio=0\.5 needs solver='coordinate-descent'"):
        fitted(X, y, solver=solver, l1_ratio=0.5)


@pytest.mark.parametrize("solver", ["coordinate-descent", "lbfgs", "auto"])
@pytest.mark.parametrize(
    ("params", "need"),
    [
        ({"hidden_layer_sizes": 3}, "hidden_layer_sizes"),
        ({"backward": "vjp"}, "backward"),
        ({"loss": "squared_error"}, "loss"),
        ({"alpha": 0.0}, "alpha > 0"),
        ({"l1_ratio": 1.5}, "l1_ratio"),
        ({"l1_ratio": -0.1}, "l1_ratio"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_told(params, need, solver):
    X, y = data_of("iris")
    with pytest.raises(ValueError, match=need):
        fitted(X, y, solver=solver, **params)


def test_saved_and_loaded(tmp_path):
    X, y = data_of("wine")
    model = fitted(X, y)
    model.save(tmp_path / "model")
    loaded = SoftmaxClassifier.load(tmp_path / "model")
    assert loaded.dual_gap_ == model.dual_gap_
    assert loaded.l1_ratio == 1.0
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_the_gap_of_single_precision_is_no_less_than_it_is():
    """The gradient that makes a bound is of float64, so that rounding does not hide what is left to gain."""
    X, y = data_of("wine")
    X = csr_array(np.where(np.abs(X) < 0.5, 0, X).astype(np.float32))
    single = fitted(X, y, tol=1e-9, max_iter=30)
    best = fitted(X.astype(float), y, tol=1e-13, max_iter=500)
    assert single.loss_ - best.loss_ <= single.dual_gap_ + 1e-12


def test_a_gradient_that_is_no_number_is_no_bound():
    X = np.array([[1.7e308]] * 2 + [[-1.7e308]] * 4)
    with pytest.warns(ConvergenceWarning, match="no step goes down"):
        model = fitted(X, np.array([0, 1, 0, 1, 1, 0]))
    assert model.dual_gap_ == np.inf
