"""SoftmaxClassifier against scikit-learn: its own checks of an estimator (no failure is expected), the minimum of
LogisticRegression, the path of MLPClassifier; and the objective written out here, whose gradient is to vanish.
"""

import warnings

import numpy as np
import pytest
import scipy.sparse
from helpers import rng
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastsoftmax import SoftmaxClassifier

CHECKED = [
    *(SoftmaxClassifier(solver=solver) for solver in ("lbfgs", "newton-cg", "newton-cholesky", "sgd", "adam")),
    *(SoftmaxClassifier((16,), solver=solver) for solver in ("lbfgs", "sgd", "adam")),
    SoftmaxClassifier(loss="squared_error"),
    *(SoftmaxClassifier(solver="coordinate-descent", l1_ratio=ratio) for ratio in (0.0, 0.5, 1.0)),
]
unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@unfinished
@parametrize_with_checks(CHECKED, legacy=True)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def one_hot(y):
    return np.eye(y.max() + 1)[y]


IRIS, LABELS = standardised(load_iris)
CANCER, BINARY = standardised(load_breast_cancer)
SOFT = 0.7 * one_hot(LABELS) + 0.3 * rng(1).dirichlet(np.ones(3), len(LABELS))
WEIGHTS = rng(2).uniform(0.1, 3, len(LABELS))


# The minimum of LogisticRegression


def assert_same_minimum(ours, theirs, tolerance):
    """Coefficients equal, to a part of the largest; intercepts, too, which may be much larger."""
    for name in ("coef_", "intercept_"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), np.abs(theirs.coef_).max()), name


@pytest.mark.parametrize(
    ("solver", "tol", "tolerance"),
    [("lbfgs", 1e-10, 1e-4), ("newton-cg", 1e-6, 2e-3), ("newton-cholesky", 1e-8, 1e-5)],
)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 100.0])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"fit_intercept": False}, {"class_weight": "balanced"}, {"class_weight": {0: 3.0, 1: 0.2}}, {"weigh": True}],
    ids=str,
)
@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer])
def test_the_minimum_is_that_of_logistic_regression(load, options, raw, alpha, solver, tol, tolerance):
    if raw and not options.get("fit_intercept", True):
        pytest.skip("features far from 0 and no intercept: the minimum is too flat to compare coefficients")
    X, y = load(return_X_y=True) if raw else standardised(load)
    options = dict(options)
    weight = rng(3).uniform(0.1, 3, len(y)) if options.pop("weigh", False) else None
    theirs = LogisticRegression(C=1 / alpha, tol=1e-11, max_iter=500, solver="newton-cholesky", **options)
    theirs.fit(X, y, weight)
    ours = SoftmaxClassifier(solver=solver, alpha=alpha, tol=tol, max_iter=3000, **options).fit(X, y, weight)
    assert_same_minimum(ours, theirs, tolerance)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=tolerance)
    assert ours.decision_function(X).shape == theirs.decision_function(X).shape


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_a_tol_below_the_rounding_is_no_reason_to_claim_that_max_iter_was_reached(solver):
    X, y = load_iris(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SoftmaxClassifier(solver=solver, alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=3000).fit(X, y)
    assert model.n_iter_ < 3000
    assert not [warning for warning in caught if "Maximum iterations" in str(warning.message)]


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_the_default_tol_is_good_for_three_digits_of_the_probabilities(solver):
    for load in (load_iris, load_wine, load_breast_cancer):
        X, y = standardised(load)
        theirs = LogisticRegression(tol=1e-11, max_iter=500, solver="newton-cholesky").fit(X, y)
        ours = SoftmaxClassifier(solver=solver).fit(X, y)
        assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 5e-3


@unfinished
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_descent_comes_to_the_same_minimum(solver):
    theirs = LogisticRegression(C=0.2, tol=1e-10, solver="newton-cholesky").fit(IRIS, LABELS)
    ours = SoftmaxClassifier(
        solver=solver, alpha=5.0, learning_rate_init=0.02, max_iter=3000, tol=0.0, n_iter_no_change=3000
    ).fit(IRIS, LABELS)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(IRIS), theirs.predict_proba(IRIS), atol=1e-3)  # b + c is as good as b


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_float32_stays_float32_and_comes_near(solver):
    theirs = LogisticRegression(tol=1e-10, solver="newton-cholesky").fit(IRIS, LABELS)
    X = IRIS.astype(np.float32)
    ours = SoftmaxClassifier(solver=solver, tol=1e-4).fit(X, LABELS)
    assert_same_minimum(ours, theirs, 1e-2)
    results = (ours.predict_proba(X), ours.predict_log_proba(X), ours.decision_function(X))
    assert {a.dtype for a in (ours.coef_, ours.intercept_, ours.coefs_[0], *results)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_a_sparse_matrix_is_its_dense_copy(solver):
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 3], y[y < 3]
    theirs = LogisticRegression(tol=1e-10, max_iter=500, solver="newton-cholesky").fit(X, y)
    for form in (scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_array):
        ours = SoftmaxClassifier(solver=solver, tol=1e-7, max_iter=2000).fit(form(X), y)
        assert_same_minimum(ours, theirs, 1e-3)
        logits = ours.decision_function(form(X))
        np.testing.assert_allclose(logits, X @ ours.coef_.T + ours.intercept_, rtol=1e-10, atol=1e-10)


# The path of MLPClassifier, from the same weights, with the samples in their order


@unfinished
@pytest.mark.parametrize(
    "options",
    [
        {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.1},
        {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling", "learning_rate_init": 5.0},
        {"solver": "sgd", "alpha": 0.0, "batch_size": 32, "learning_rate_init": 0.05},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "n_iter_no_change": 2, "learning_rate_init": 0.05},
        {"solver": "sgd", "tol": 0.02, "n_iter_no_change": 3, "max_iter": 60, "learning_rate_init": 0.05},
        {"solver": "adam", "alpha": 0.0, "batch_size": 50, "learning_rate_init": 0.01, "activation": "logistic"},
        {"solver": "adam", "alpha": 3.0, "learning_rate_init": 0.01, "activation": "relu"},
        {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "learning_rate_init": 0.02},
    ],
    ids=lambda options: ",".join(map(str, options.values())),
)
@pytest.mark.parametrize(("hidden", "n_classes"), [((), 3), ((5,), 3), ((5, 4), 2)])
def test_the_path_is_that_of_mlp_classifier(hidden, n_classes, options):
    X, y = IRIS[np.isin(LABELS, range(n_classes))], LABELS[np.isin(LABELS, range(n_classes))]
    options = {"alpha": 0.5, "activation": "tanh", "max_iter": 25, "shuffle": False, "random_state": 0, **options}
    ours = SoftmaxClassifier(hidden, warm_start=True, **options).set_params(max_iter=1).fit(X, y)
    theirs = MLPClassifier(hidden, warm_start=True, **options).set_params(max_iter=1).fit(X, y)
    theirs.coefs_ = [coef.copy() for coef in ours.coefs_]
    theirs.intercepts_ = [intercept.copy() for intercept in ours.intercepts_]
    theirs.t_, theirs.loss_curve_, theirs.best_loss_, theirs._no_improvement_count = 0, [], np.inf, 0
    for model in (ours, theirs):
        model.set_params(max_iter=options["max_iter"]).fit(X, y)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-9)
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-9)
    assert (ours.n_layers_, ours.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)


# The objective, written out, and its gradient by a complex step: exact to rounding, and no formula of ours


def objective(params, shapes, X, targets, model, by_row):
    """F of all coefs and intercepts in one vector; targets (N, C), by_row (N,)."""
    a, at, squares = X, 0, 0.0
    slopes = {"tanh": np.tanh, "relu": lambda z: z * (z.real > 0), "logistic": lambda z: 1 / (1 + np.exp(-z))}
    for n, (n_in, n_out) in enumerate(shapes):
        coef, at = params[at : at + n_in * n_out].reshape(n_in, n_out), at + n_in * n_out
        intercept, at = params[at : at + n_out], at + n_out
        squares = squares + (coef**2).sum()
        a = (a if n == 0 else slopes[model.activation](a)) @ coef + intercept
    z = np.hstack([0 * a, a]) if a.shape[1] == 1 else a
    z = z - z.real.max(axis=1, keepdims=True)
    log_probs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    t = (1 - model.label_smoothing) * targets + model.label_smoothing / targets.shape[1]
    losses = -(t * log_probs) if model.loss == "cross_entropy" else (np.exp(log_probs) - t) ** 2
    return (by_row @ losses.sum(axis=1) + 0.5 * model.alpha * squares) / by_row.sum()


def value_and_grad(model, X, targets, by_row, nudge=1.0):
    shapes = [coef.shape for coef in model.coefs_]
    parts = [array.ravel() for layer in zip(model.coefs_, model.intercepts_, strict=True) for array in layer]
    params = np.concatenate(parts) * nudge
    free = np.concatenate([np.full(part.size, model.fit_intercept or k % 2 == 0) for k, part in enumerate(parts)])
    steps = params + 1e-30j * np.eye(params.size)
    grad = [objective(step, shapes, X, targets, model, by_row).imag * 1e30 for step in steps[free]]
    return objective(params, shapes, X, targets, model, by_row).real, np.array(grad)


@pytest.mark.parametrize(
    ("options", "binary", "weigh"),
    [
        ({}, False, True),
        ({"loss": "squared_error"}, False, False),
        ({"loss": "squared_error", "label_smoothing": 0.1, "class_weight": {0: 2.0}}, False, True),
        ({"loss": "squared_error"}, True, True),
        ({"label_smoothing": 0.2}, False, True),
        ({"label_smoothing": 0.1, "fit_intercept": False}, True, True),
        ({"class_weight": {0: 0.3, 2: 4.0}}, False, True),
        ({"class_weight": "balanced", "solver": "newton-cg"}, True, False),
        ({"label_smoothing": 0.3, "solver": "newton-cg"}, False, False),
        ({"label_smoothing": 0.3, "class_weight": "balanced", "solver": "newton-cholesky"}, False, True),
        ({"hidden_layer_sizes": (4,), "activation": "tanh", "random_state": 0}, False, True),
        ({"hidden_layer_sizes": (3, 4), "activation": "logistic", "alpha": 0.02, "random_state": 1}, False, False),
        ({"hidden_layer_sizes": (4,), "activation": "tanh", "loss": "squared_error", "random_state": 2}, True, False),
    ],
    ids=str,
)
def test_the_gradient_vanishes_at_the_end(options, binary, weigh):
    X, y = (CANCER[::4, :6], BINARY[::4]) if binary else (IRIS, LABELS)
    weight = rng(4).uniform(0.1, 3, len(y)) if weigh else None
    model = SoftmaxClassifier(**{"alpha": 0.3, "tol": 1e-9, "max_iter": 5000, **options}).fit(X, y, weight)
    by_row = np.ones(len(y)) if weight is None else weight
    if model.class_weight == "balanced":
        by_row = by_row * (by_row.sum() / ((1 + y.max()) * np.bincount(y, by_row)))[y]
    elif model.class_weight:
        by_row = by_row * np.array([model.class_weight.get(label, 1.0) for label in y])
    value, grad = value_and_grad(model, X, one_hot(y), by_row)
    assert model.loss_ == pytest.approx(value, rel=1e-9)
    bound = 1e-6 if not model.hidden_layer_sizes else 1e-4
    assert np.abs(grad).max() < bound
    assert np.abs(value_and_grad(model, X, one_hot(y), by_row, nudge=1.05)[1]).max() > 10 * bound  # it can fail


# Weights are repetitions, probabilities are weighted labels


@unfinished
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("y", [LABELS, SOFT], ids=["labels", "probabilities"])
@pytest.mark.parametrize(
    "options",
    [
        {"tol": 1e-9},
        {"tol": 1e-9, "solver": "newton-cg"},
        {"tol": 1e-9, "solver": "newton-cholesky"},
        {"solver": "sgd", "batch_size": 150, "learning_rate_init": 0.1, "max_iter": 30},
    ],
    ids=lambda options: options.get("solver", "lbfgs"),
)
def test_an_integer_weight_is_so_many_rows(options, y, sparse):
    X = scipy.sparse.csr_array(IRIS) if sparse else IRIS
    times = rng(5).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), times)
    weighted = SoftmaxClassifier(**options).fit(X, y, times)
    repeated = SoftmaxClassifier(**options).set_params(batch_size="auto" if "batch_size" not in options else len(rows))
    repeated.fit(X[rows], y[rows])
    assert_same_minimum(weighted, repeated, 1e-6)
    unweighted = SoftmaxClassifier(**options).fit(X, y)
    assert np.abs(unweighted.coef_ - repeated.coef_).max() > 1e-3


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("class_weight", [None, {0: 3.0, 1: 0.5}, "balanced"])
def test_probabilities_are_labels_with_weights(solver, class_weight):
    """A row of probabilities is a row for each class, weighted by its probability."""
    model = SoftmaxClassifier(solver=solver, tol=1e-9, class_weight=class_weight).fit(IRIS, SOFT, WEIGHTS)
    rows, labels = np.repeat(np.arange(len(SOFT)), 3), np.tile(np.arange(3), len(SOFT))
    weight = SOFT.ravel() * WEIGHTS[rows]
    theirs = LogisticRegression(tol=1e-11, class_weight=class_weight, solver="newton-cholesky")
    assert_same_minimum(model, theirs.fit(IRIS[rows], labels, weight), 1e-4)
    assert np.array_equal(model.classes_, np.arange(3))
    assert model.score(IRIS, SOFT) == np.mean(model.predict(IRIS) == SOFT.argmax(axis=1))


@unfinished
@pytest.mark.parametrize("options", [{}, {"solver": "adam"}, {"hidden_layer_sizes": 6, "random_state": 0}], ids=str)
@pytest.mark.parametrize("binary", [False, True])
def test_one_hot_is_labels(options, binary):
    X, y = (CANCER[::4, :6], BINARY[::4]) if binary else (IRIS, LABELS)
    by_label = SoftmaxClassifier(max_iter=100, **options).fit(X, y)
    by_column = clone(by_label).fit(X, one_hot(y))
    for a, b in zip(by_label.coefs_ + by_label.intercepts_, by_column.coefs_ + by_column.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert by_label.score(X, one_hot(y)) == by_label.score(X, y) == np.mean(by_label.predict(X) == y) > 0.9
