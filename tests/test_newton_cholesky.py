"""newton-cholesky: the minimum of LogisticRegression to many digits, whatever the features are, in few iterations."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from helpers import FLOATS, JIT, derivative, quiet, rng, same_bits, same_parameters
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from test_objective import free, problem
from test_training import of

from fastsoftmax import SoftmaxClassifier
from fastsoftmax.training.loop import train
from fastsoftmax.training.newton_cholesky import NewtonCholesky, _cholesky, _InDifferences

needs_jit = pytest.mark.skipif(not JIT, reason="takes minutes as Python")
SOLVER = {"solver": "newton-cholesky"}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "case",
    [
        {"alpha": 0.7},
        {"alpha": 0.5, "n_classes": 2, "soft": True},
        {"alpha": 1.0, "sparse": True, "fit_intercept": False},
        {"alpha": 0.3, "soft": True, "label_smoothing": 0.1},
    ],
    ids=str,
)
def test_in_differences_it_is_the_same_function(case, dtype):
    """Value, gradient and Hessian, at parameters whose weights add up to 0 over the classes."""
    objective, params = problem(dtype=dtype, **case)
    problem_in = _InDifferences(objective, np.float64)
    V = problem_in.start(params)
    params = problem_in.params(V)
    wide, _ = problem(**case)
    assert (params[free(wide, params) == 0] == 0).all()
    point = problem_in.at(V)
    assert point.value == pytest.approx(wide.value_and_grad(params)[0], rel=1e-6 if dtype == np.float32 else 1e-13)
    direction = rng(1).standard_normal(V.shape)
    if not objective.fit_intercept:
        direction.reshape(-1, 6)[:, -1] = 0
    slope = derivative(lambda V: problem_in.at(V).value, V, direction, h=1e-3)
    assert point.grad @ direction == pytest.approx(slope, rel=1e-8)
    problem_in.at(V)
    R = np.triu(problem_in.factor())
    curved = derivative(lambda V: problem_in.at(V).grad, V, direction, h=1e-3)
    np.testing.assert_allclose(R.T @ (R @ direction), curved, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "case",
    [{"alpha": 1.0}, {"alpha": 0.5, "n_classes": 2}, {"alpha": 1.0, "sparse": True, "fit_intercept": False}],
    ids=str,
)
def test_the_gradient_vanishes_at_the_end(case, dtype):
    objective, _ = problem(dtype=dtype, **case)
    params = np.zeros(objective.network.n_params, dtype)
    training = train(objective, params, NewtonCholesky(1e-11, 50))
    assert training.converged
    assert len(training.loss_curve) <= 10
    assert np.all(np.diff(training.loss_curve) < 1e-14)
    assert (params[free(objective, params) == 0] == 0).all()
    assert np.abs(objective.value_and_grad(params)[1]).max() < (1e-10 if dtype == np.float64 else 1e-5)


@needs_jit
@pytest.mark.parametrize("alpha", [1e-4, 1.0])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_the_minimum_is_that_of_logistic_regression(load, raw, alpha):
    X, y = load(return_X_y=True)
    X = X if raw else StandardScaler().fit_transform(X)
    if load is load_digits:
        X, y = X[y < 5], y[y < 5]  # with all, theirs takes minutes
        alpha = max(alpha, 1e-2)
    theirs = quiet(LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=500, **SOLVER), X, y)
    ours = SoftmaxClassifier(alpha=alpha, tol=1e-8, **SOLVER).fit(X, y)
    size = np.abs(theirs.coef_).max()
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-5 * size)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=0, atol=1e-6)
    assert ours.n_iter_ <= 30
    by_default = SoftmaxClassifier(alpha=alpha, **SOLVER).fit(X, y)
    assert ours.loss_ <= by_default.loss_ <= ours.loss_ * (1 + 1e-4) + 1e-8


def test_float32_ends_where_float64_does():
    """What is left to gain is found in float64: nothing is stuck."""
    X, y = load_wine(return_X_y=True)
    wide = SoftmaxClassifier(tol=1e-8, **SOLVER).fit(X.astype(np.float32).astype(float), y)
    single = SoftmaxClassifier(tol=1e-8, **SOLVER).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32
    assert single.n_iter_ == wide.n_iter_
    np.testing.assert_allclose(single.coef_, wide.coef_, rtol=1e-5, atol=1e-7)


def test_a_warm_start_is_left_where_it_is_good():
    X, y = load_wine(return_X_y=True)
    model = SoftmaxClassifier(warm_start=True, **SOLVER).fit(X, y)
    before, loss = model.coef_.copy(), model.loss_
    model.fit(X, y)
    assert model.n_iter_ == 1
    assert model.loss_ == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(model.coef_, before, rtol=1e-9, atol=1e-14)
    model.coefs_[0] += np.arange(13.0)[:, None]  # to all classes: the penalty alone is larger
    model.fit(X, y)
    np.testing.assert_allclose(model.coef_, before, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
def test_an_integer_weight_is_so_many_rows(sparse):
    X, y = load_iris(return_X_y=True)
    times = rng(5).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), times)
    spoiled = np.where(times[:, None] == 0, 1e300, X)
    data = scipy.sparse.csr_array(spoiled) if sparse else spoiled
    weighted = SoftmaxClassifier(tol=1e-9, **SOLVER).fit(data, y, times)
    repeated = SoftmaxClassifier(tol=1e-9, **SOLVER).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-9, atol=1e-12)


def test_a_sparse_matrix_is_its_dense_copy():
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 3], y[y < 3]
    X, y = (X, y) if JIT else (X[::10], y[::10])
    dense = SoftmaxClassifier(tol=1e-9, **SOLVER).fit(X, y)
    sparse = SoftmaxClassifier(tol=1e-9, **SOLVER).fit(scipy.sparse.csr_array(X), y)
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(not JIT, reason="without the JIT there is one thread")
def test_threads_do_not_change_a_bit():
    X = rng(1).standard_normal((3000, 8))
    y = (X @ rng(2).standard_normal((8, 4)) + rng(3).gumbel(size=(3000, 4))).argmax(axis=1)
    alone = SoftmaxClassifier(n_threads=1, **SOLVER).fit(X, y)
    for n_threads in (2, 3):
        several = SoftmaxClassifier(n_threads=n_threads, **SOLVER).fit(X, y)
        assert same_parameters(alone, several)
        assert same_bits(alone.loss_curve_, several.loss_curve_)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_features_that_say_the_same(alpha):
    """Alone, twice, as a sum, and as a constant: what is predicted is the same, and no weight is out of bounds."""
    X, y = load_iris(return_X_y=True)
    doubled = np.column_stack([X, X, X.sum(axis=1), np.full(150, 3.0)])
    with_bias = SoftmaxClassifier(alpha=0.0, **SOLVER)
    reference = with_bias.fit(X, y) if alpha == 0 else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = SoftmaxClassifier(alpha=alpha, tol=1e-8, **SOLVER).fit(doubled, y)
    assert not model.coef_[:, -1].any()
    assert np.abs(model.coef_).max() < 1e3
    if reference is not None:
        assert model.loss_ == pytest.approx(reference.loss_, abs=1e-6)
    else:
        np.testing.assert_allclose(model.coef_[:, :4], model.coef_[:, 4:8], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("tol", [0.0, 1e-10, 1e-4])
def test_separable_data_without_a_penalty(tol):
    """The minimum is at infinity: it ends, with a model that is right, and a warning where tol was not met."""
    X = np.array([[-2.0], [-1.0], [1.0], [3.0], [9.0], [10.0]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SoftmaxClassifier(alpha=0.0, tol=tol, max_iter=2000, **SOLVER).fit(X, [0, 0, 1, 1, 2, 2])
    assert model.score(X, [0, 0, 1, 1, 2, 2]) == 1
    assert np.isfinite(model.coef_).all()
    assert model.loss_ < 1e-6
    assert tol == 0 or not caught


def test_no_step_is_taken_that_goes_up():
    """From a start where Newton's whole step leads far off, because all rows are sure of a wrong class."""
    objective = of(load_iris)
    params = np.zeros(objective.network.n_params)
    objective.network.layers(params)[0][0][:] = 3 * rng(0).standard_normal((3, 4))
    training = train(objective, params, NewtonCholesky(1e-8, 200))
    assert training.converged
    assert np.all(np.diff(training.loss_curve) < 1e-14)
    best = train(objective, np.zeros_like(params), NewtonCholesky(1e-8, 200)).loss_curve[-1]
    assert training.loss_curve[-1] == pytest.approx(best, rel=1e-12)


def test_max_iter_is_kept_and_told():
    training = train(of(), np.zeros(15), NewtonCholesky(1e-12, 3))
    assert len(training.loss_curve) == 3
    assert not training.converged


def test_a_bad_start_fails_at_once():
    params = np.full(15, 1e200)
    params[:6] = -1e200
    before = params.copy()
    training = train(of(), params, NewtonCholesky(1e-4, 10))
    assert training.failed
    assert np.array_equal(params, before)


def test_a_matrix_that_is_not_definite_gets_a_larger_diagonal():
    random = rng(0).standard_normal((5, 3))
    for matrix in (random @ random.T, np.zeros((4, 4)), np.diag([1.0, 0.0, 4.0])):
        before = matrix.copy()
        R = np.triu(_cholesky(matrix))
        np.testing.assert_allclose((R.T @ R)[before != 0], before[before != 0], rtol=1e-10)
        assert (np.diag(R) > 0).all()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"hidden_layer_sizes": (3,)}, r"hidden_layer_sizes=\(\)"),
        ({"backward": "vjp"}, 'backward="fused"'),
        ({"loss": "squared_error"}, 'loss="cross_entropy"'),
    ],
)
def test_what_it_is_not_for_is_told(options, what):
    with pytest.raises(ValueError, match=f"solver='newton-cholesky' needs {what}"):
        SoftmaxClassifier(**options, **SOLVER).fit([[0.0], [1.0]], [0, 1])


def test_no_features_and_class_weights():
    """The biases alone are the logarithms of the classes' shares."""
    y = np.array([0, 1, 1, 2, 2, 2])
    model = SoftmaxClassifier(tol=1e-10, class_weight={0: 3.0}, **SOLVER).fit(np.ones((6, 2)), y)
    np.testing.assert_allclose(model.predict_proba([[1.0, 1.0]]), [np.array([3, 2, 3]) / 8], rtol=1e-9)
