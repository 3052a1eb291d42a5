"""lbfgs with L1, by passes over the rows: the minimum of coordinate-descent, and a gap that bounds what is left."""

import numpy as np
import pytest
from helpers import JIT, quiet, rng, same_bits
from scipy.sparse import csr_array
from scipy.special import entr, log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning
from test_data import as_blocks, as_files, rows
from test_data import small_parts as small_parts
from test_l1 import BUNDLED, assert_at_minimum, data_of, fitted

import fastsoftmax as fs
from fastsoftmax.training import proximal_lbfgs
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.composite import Composite
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network
from fastsoftmax.training.proximal_lbfgs import ProximalLBFGS

if not JIT:
    pytest.skip("takes minutes as Python", allow_module_level=True)

TIGHT = 1e-6


def by_passes(X, y, sample_weight=None, **params):
    return fitted(X, y, sample_weight, **{"solver": "lbfgs", "tol": TIGHT, "max_iter": 1000, **params})


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("name", [*BUNDLED, "csr"])
def test_conditions_of_the_minimum(name, l1_ratio):
    X, y = data_of(name)
    model, other = by_passes(X, y, l1_ratio=l1_ratio), fitted(X, y, l1_ratio=l1_ratio)
    assert model.n_iter_.shape == (1,)
    assert 0 <= model.dual_gap_ <= TIGHT * (model.loss_ + TIGHT)
    assert_at_minimum(model, X, np.eye(y.max() + 1)[y], eps=5e-2)
    assert np.all(np.diff(model.loss_curve_) <= 1e-12)
    assert model.loss_ == pytest.approx(other.loss_, rel=TIGHT)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-2)
    np.testing.assert_allclose(model.intercept_, other.intercept_, atol=1e-2)
    assert ((model.coef_ == 0) == (other.coef_ == 0)).mean() > 0.99


@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "csr"])
def test_the_gap_bounds_what_is_left(name, l1_ratio):
    X, y = data_of(name)
    weights = rng(2).uniform(0.2, 2, len(y))
    least, gaps = fitted(X, y, weights, l1_ratio=l1_ratio).loss_, []
    for tol in (10.0, 1e-1, 1e-2, 1e-4, 1e-6):
        model = by_passes(X, y, weights, l1_ratio=l1_ratio, tol=tol)
        assert model.loss_ - least - 1e-13 <= model.dual_gap_ <= tol * (model.loss_ + tol)
        gaps.append(model.dual_gap_)
    assert gaps[0] > 1e-2
    assert gaps[-1] < 1e-5


def composite(n_classes=3, l1=5.0, l2=0.0, with_bias=True):
    """A problem far from its minimum, and what it is made of."""
    r = rng(4)
    X, targets = r.standard_normal((700, 6)) * np.arange(1, 7) + 2, r.dirichlet(np.ones(n_classes), 700)
    weights, params = r.uniform(0.1, 2, 700), 0.1 * r.standard_normal(7 * n_classes)
    if n_classes == 2:
        params[:6] = params[12] = 0
    if not with_bias:
        params[-n_classes:] = 0
    options = {"alpha": l2, "l1": l1, "fit_intercept": with_bias, "pins_first_class": n_classes == 2}
    objective = ArrayObjective(X, targets, Network(np.array([6, n_classes])), weights, **options)
    return Composite(objective, params), params, (X, targets, weights, l1, l2)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("l2", [0.0, 2.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_bound_is_that_of_the_definition(n_classes, l2, with_bias):
    """F and the dual written out: mass is moved so that the residuals of each class sum to 0."""
    problem, params, (X, targets, weights, l1, l2) = composite(n_classes, l2=l2, with_bias=with_bias)
    W, b = params[: 6 * n_classes].reshape(n_classes, 6), params[6 * n_classes :]
    loss = -(weights[:, None] * targets * log_softmax(X @ W.T + b, axis=1)).sum()
    value = (loss + l1 * np.abs(W).sum() + l2 / 2 * (W**2).sum()) / weights.sum()
    assert problem.start.value == pytest.approx(value, rel=1e-12)
    probs = softmax(X @ W.T + b, axis=1)
    if with_bias:
        P, T = weights @ probs, weights @ targets
        excess, lack = np.maximum(P - T, 0), np.maximum(T - P, 0)
        probs = probs * (1 - excess / P) + (probs @ (excess / P))[:, None] * lack / lack.sum()
        np.testing.assert_allclose(weights @ probs, T)
    slopes = ((weights[:, None] * (probs - targets)).T @ X)[n_classes == 2 :]
    duals = []
    for q in (1.0, l1 / np.abs(slopes).max()):
        if l2 == 0 and q * np.abs(slopes).max() > l1 * (1 + 1e-9):
            continue
        conjugate = (np.maximum(np.abs(q * slopes) - l1, 0) ** 2).sum() / (2 * l2) if l2 else 0.0
        duals.append((weights @ entr(q * probs + (1 - q) * targets).sum(axis=1) - conjugate) / weights.sum())
    bound = problem.bound(problem.start)
    assert bound == pytest.approx(max(duals), rel=1e-9)
    assert problem.least_gap(problem.start) <= value - bound + 0.01 * value  # what moving mass does is left out there


def test_probabilities_are_gone_through_in_slices(monkeypatch):
    problem, _, _ = composite()
    whole = problem.bound(problem.start)
    monkeypatch.setattr("fastsoftmax.training.composite.SLICE", 300)
    assert problem.bound(problem.start) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_files_and_blocks_give_the_same_bits_as_arrays(tmp_path, l1_ratio, sparse):
    X, y = rows(np.float64, sparse)
    weight = rng(4).random(len(y))
    options = {"l1_ratio": l1_ratio, "alpha": 30.0, "max_iter": 6, "class_weight": "balanced", "label_smoothing": 0.01}
    found = []
    for given in ((X, y, weight), (as_files(tmp_path, X, y, weight),), (as_blocks(X, y, weight),)):
        solver = "lbfgs" if len(given) == 3 else "auto"
        found.append(quiet(fs.SoftmaxClassifier(solver=solver, n_threads=len(found) % 2 + 1, **options), *given))
    for other in found[1:]:
        assert same_bits(found[0].coef_, other.coef_)
        assert same_bits(found[0].intercept_, other.intercept_)
        assert (found[0].dual_gap_, found[0].loss_curve_) == (other.dual_gap_, other.loss_curve_)
    assert 0 < found[0].dual_gap_ < found[0].loss_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_source_is_fitted_to_the_minimum(dtype):
    """Two features of it are nearly equal, and others far from 0."""
    X, y = rows(dtype)
    model = fs.SoftmaxClassifier(l1_ratio=1.0, alpha=30.0, tol=1e-3).fit(as_blocks(X, y, None))
    best = fs.SoftmaxClassifier(l1_ratio=1.0, alpha=30.0, tol=1e-7).fit(X.astype(np.float64), y)
    assert model.dual_gap_ <= 1e-3 * (model.loss_ + 1e-3)
    assert model.coef_.dtype == dtype
    assert 0 <= model.loss_ - best.loss_ <= 1e-3 * best.loss_
    assert np.count_nonzero(model.coef_) < model.coef_.size


def test_the_gap_is_looked_at_where_it_is_small(monkeypatch):
    looks, bound = [], Composite.bound
    monkeypatch.setattr(Composite, "bound", lambda *given: looks.append(given) or bound(*given))
    for name in ("wine", "breast_cancer", "digits"):
        looks.clear()
        X, y = data_of(name)
        assert by_passes(X, y, tol=1e-4).n_iter_[0] > 10
        assert len(looks) == 1  # not at the start, where no mixture is feasible but one that is nearly the targets


def test_the_gap_is_not_looked_at_in_each_iteration(monkeypatch):
    """With little L1 what is known without a pass is far below the gap."""
    looks, bound = [], Composite.bound
    monkeypatch.setattr(Composite, "bound", lambda *given: looks.append(given) or bound(*given))
    r = rng(0)
    X = r.standard_normal((5000, 20))
    y = (X[:, :6] + r.gumbel(size=(5000, 6))).argmax(axis=1)
    n_iter = by_passes(X, y, alpha=0.1, tol=1e-4).n_iter_[0]
    assert 2 < len(looks) <= n_iter / 3 + 1


def test_a_warm_start_ends_where_a_cold_one_does():
    X, y = data_of("wine")
    warm = fs.SoftmaxClassifier(solver="lbfgs", l1_ratio=1.0, tol=TIGHT, warm_start=True, max_iter=1000)
    for alpha in (10.0, 1.0):
        warm.set_params(alpha=alpha).fit(X, y)
        np.testing.assert_allclose(warm.coef_, by_passes(X, y, alpha=alpha).coef_, atol=1e-3)
    assert warm.fit(X, y).n_iter_[0] == 1
    assert warm.dual_gap_ <= TIGHT * (warm.loss_ + TIGHT)


def test_cross_validation():
    X, y = data_of("iris")
    options = {"alphas": [1.0, 10.0], "l1_ratios": [1.0], "tol": 1e-6, "max_iter": 1000}
    ours = fs.SoftmaxClassifierCV(solver="lbfgs", **options).fit(X, y)
    other = fs.SoftmaxClassifierCV(solver="coordinate-descent", **options).fit(X, y)
    np.testing.assert_allclose(ours.coefs_paths_, other.coefs_paths_, atol=2e-2)
    assert ours.alpha_ == other.alpha_


def test_max_iter_warns_and_tells_the_gap():
    X, y = data_of("wine")
    with pytest.warns(ConvergenceWarning, match=r"lbfgs: Maximum iterations \(2\)"):
        model = by_passes(X, y, max_iter=2)
    assert model.loss_ - fitted(X, y).loss_ <= model.dual_gap_ < 1
    assert len(model.loss_curve_) == 2


def test_it_ends_where_rounding_lets_no_step_go_down():
    X, y = data_of("wine")
    X = X.astype(np.float32)
    model = by_passes(X, y, tol=1e-12)
    assert model.n_iter_[0] < 200
    assert model.dual_gap_ < 1e-4
    assert model.loss_ == pytest.approx(fitted(X.astype(float), y).loss_, rel=1e-5)


def test_a_gap_that_meets_tol_is_enough_where_no_step_goes_down():
    X, y = data_of("breast_cancer")
    model = fs.SoftmaxClassifier(solver="lbfgs", l1_ratio=1.0, tol=1e-9, max_iter=1000).fit(X[:, :5], y)
    assert 0 < model.dual_gap_ <= 1e-9 * (model.loss_ + 1e-9)


def test_a_start_from_which_no_step_goes_down_is_told(monkeypatch):
    """As the point that it is, in which nothing is left to choose: biases sum to 0."""
    X, y = data_of("wine")
    model = by_passes(X, y, warm_start=True)
    loss, coef = model.loss_, model.coef_.copy()
    model.intercepts_[0] += 0.5
    monkeypatch.setattr(proximal_lbfgs._CompactHessian, "_search", lambda *_: None)
    quiet(model.set_params(tol=1e-12), X, y)
    assert model.n_iter_[0] == 1
    assert model.loss_curve_ == [model.loss_] == [pytest.approx(loss)]
    assert abs(model.intercept_.sum()) < 1e-14
    np.testing.assert_allclose(model.coef_, coef, atol=1e-12)


def test_steps_that_fail_forget_what_is_remembered(monkeypatch):
    X, y = data_of("iris")
    search, refused = proximal_lbfgs._CompactHessian._search, []

    def often_none(self, *given):
        if len(self._steps) == 3:
            refused.append(len(self._steps))
            return None
        return search(self, *given)

    monkeypatch.setattr(proximal_lbfgs._CompactHessian, "_search", often_none)
    model = by_passes(X, y, tol=1e-4)
    assert len(refused) > 2
    assert model.dual_gap_ <= 1e-4 * (model.loss_ + 1e-4)


def hessian_at_start():
    X, y = data_of("iris")
    terms = {"alpha": 1.0, "l1": 1.0}
    objective = ArrayObjective(X, y, Network(np.array([4, 3])), np.empty(0), **terms)
    problem = Composite(objective, np.zeros(15))
    return proximal_lbfgs._CompactHessian(problem, np.finfo(float).eps), problem


def test_steps_without_curvature_are_not_remembered():
    hessian, _ = hessian_at_start()
    step, across = np.eye(15)[0], np.eye(15)[1]
    hessian._remember(step, 2 * step + across)
    for change in (across, -step, 0 * step, across + 1e-17 * step, np.full(15, np.nan)):
        hessian._remember(step, change)
    assert len(hessian._steps) == len(hessian._changes) == 1
    np.testing.assert_array_equal(hessian._changes[0], 2 * step + across)


def test_a_search_ends_where_f_rises_however_short_the_step(monkeypatch):
    hessian, problem = hessian_at_start()
    u, decrease = hessian._minimised(problem.start)
    assert hessian._search(problem.start, u, decrease).value < problem.start.value
    tried = []

    def rising(self, there):
        tried.append(np.abs(there - problem.start.u).max())
        return problem.start._replace(u=there, value=problem.start.value + 1)

    monkeypatch.setattr(Composite, "at", rising)
    assert hessian._search(problem.start, u, decrease) is None
    assert len(tried) == proximal_lbfgs.HALVINGS
    np.testing.assert_allclose(tried, tried[0] * 0.5 ** np.arange(len(tried)))


def test_a_memory_that_cannot_be_inverted_is_forgotten(monkeypatch):
    X, y = data_of("iris")
    inv, sizes = np.linalg.inv, []

    def singular_with_three_pairs(matrix):
        sizes.append(len(matrix))
        if len(matrix) == 6:
            raise np.linalg.LinAlgError("Singular matrix")
        return inv(matrix)

    monkeypatch.setattr(np.linalg, "inv", singular_with_three_pairs)
    model = by_passes(X, y, tol=1e-4)
    assert sizes[:5] == [2, 4, 6, 2, 4]
    assert model.dual_gap_ <= 1e-4 * (model.loss_ + 1e-4)


def test_a_large_alpha_leaves_the_class_frequencies():
    X, y = data_of("breast_cancer")
    model = by_passes(X, y, alpha=1e4, tol=1e-10)
    assert (model.coef_ == 0).all()
    np.testing.assert_allclose(model.predict_proba(X[:1])[0], np.bincount(y) / len(y), rtol=1e-5)


def test_no_intercept_and_weights():
    X, y = data_of("wine")
    weights = rng(1).integers(0, 3, len(y)).astype(float)
    model = by_passes(X + 1.0, y, weights, fit_intercept=False, l1_ratio=0.7, tol=1e-10)
    assert (model.intercept_ == 0).all()
    assert_at_minimum(model, X + 1.0, np.eye(3)[y], weights, eps=5e-3)


def test_a_loss_that_is_not_finite_is_told():
    X = np.array([[1.7e308, 1.0]] * 2 + [[-1.7e308, 0.0]] * 4)
    objective = ArrayObjective(
        csr_array(X), np.array([0, 1, 0, 1, 1, 0]), Network(np.array([2, 2])), np.empty(0), l1=1.0
    )
    params = np.full(6, 1e300)
    assert train(objective, params, ProximalLBFGS(1e-4, 10)).failed


def test_the_model_knows_what_changes_no_loss(monkeypatch):
    """All classes' weights of a feature, by as much: else L1 alone would lead on there, by little steps."""
    r = rng(0)
    X = r.standard_normal((5000, 20))
    y = (X[:, :6] + r.gumbel(size=(5000, 6))).argmax(axis=1)
    iterations = by_passes(X, y, tol=1e-4).n_iter_[0]
    init = proximal_lbfgs._CompactHessian.__init__

    def without(self, *given):
        init(self, *given)
        self._class_mean = 0.0

    monkeypatch.setattr(proximal_lbfgs._CompactHessian, "__init__", without)
    monkeypatch.setattr(Composite, "among_classes", lambda self, u: u)
    assert iterations < 20 < by_passes(X, y, tol=1e-4).n_iter_[0]
