"""How a fit of SoftmaxClassifier starts warm, and ends: early, by a callback, an interrupt, or numbers too large."""

import contextlib
import copy
import importlib.util
import pickle
import signal
import sys
import time
import warnings

import numpy as np
import pytest
from helpers import parameters, quiet, rng, same_bits, same_parameters
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from fastsoftmax import SoftmaxClassifier
from fastsoftmax.classifier import reports

RAW, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(RAW)
NAMES = np.array(["setosa", "versicolor", "virginica"])
STILL = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1}  # ends where it starts
SOLVERS = ("lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam")


# Errors before a result


@pytest.mark.parametrize(
    ("params", "columns", "y"),
    [({"class_weight": {9: 1.0}}, 4, NAMES[Y]), ({}, 2, np.zeros(150)), ({"random_state": "x"}, 4, NAMES[Y])],
)
def test_a_fit_that_fails_leaves_the_model_as_it_was(params, columns, y):
    """Not the old weights with new classes, or another number of features."""
    model = SoftmaxClassifier().fit(X, Y)
    before, predicted = dict(vars(model)), model.predict(X)
    with pytest.raises(ValueError, match=r"class_weight|one class|RandomState"):
        model.set_params(**params).fit(X[:, :columns], y)
    np.testing.assert_array_equal(model.predict(X), predicted)
    assert {name for name in before if vars(model)[name] is not before[name]} == set(params)
    assert set(vars(model)) == set(before)


@pytest.mark.parametrize(
    ("bad_X", "classes", "message"),
    [(X, [0, 1], "not in classes_"), (X * np.nan, [0, 1, 2, 3], "NaN"), (X, [0], "there is only one class: 0$")],
)
def test_a_first_partial_fit_that_fails_is_none(bad_X, classes, message):
    """Another may have other classes."""
    model = SoftmaxClassifier(solver="adam", random_state=0)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(bad_X, Y, classes=classes)
    assert set(vars(model)) == set(model.get_params())
    model.partial_fit(X, Y, classes=[0, 1, 2])
    same = SoftmaxClassifier(solver="adam", random_state=0).partial_fit(X, Y, classes=[0, 1, 2])
    assert same_parameters(model, same)


# Starts


@pytest.mark.parametrize(("activation", "factor"), [("relu", 6.0), ("tanh", 6.0), ("logistic", 2.0)])
def test_a_network_starts_uniform_and_a_linear_model_from_zeros(activation, factor):
    """Glorot & Bengio 2010, as MLPClassifier."""
    assert np.abs(quiet(SoftmaxClassifier((), activation, **STILL), X, Y).coef_).max() < 1e-290
    model = quiet(SoftmaxClassifier((200, 100), activation, random_state=0, **STILL), X, Y)
    for coef, intercept in zip(model.coefs_, model.intercepts_, strict=True):
        bound = np.sqrt(factor / sum(coef.shape))
        assert 0.98 * bound < np.abs(coef).max() <= bound
        assert np.abs(coef.mean()) < 0.1 * bound
        assert coef.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)
        assert 0 < np.abs(intercept).max() <= bound


@pytest.mark.parametrize("hidden", [(), (4,)])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
def test_a_warm_start_goes_on(solver, hidden):
    if hidden and solver.startswith("newton"):
        pytest.skip("Newton's method is for linear models")
    model = SoftmaxClassifier(hidden, solver=solver, warm_start=True, random_state=0, max_iter=5000).fit(X, Y)
    first, loss = model.n_iter_, model.loss_
    model.fit(X, Y)
    assert model.n_iter_ < first / 2
    assert model.loss_ <= loss * (1 + 1e-9)
    assert model.set_params(warm_start=False).fit(X, Y).n_iter_ == first


def test_a_warm_start_keeps_the_logits_of_known_classes():
    """Of the softmax: differences between the classes that stay are what they were, and a new class has logits 0."""
    model = SoftmaxClassifier(warm_start=True).fit(X, np.array(["b", "d", "e"])[Y])
    known = dict(zip("bde", model.decision_function(X).T, strict=True))
    model.set_params(**STILL)
    for labels in ("abde", "de", "adz", "dz", "dez"):
        quiet(model, X, np.resize(list(labels), 150))
        assert "".join(model.classes_) == labels
        logits = model.decision_function(X)
        logits = np.column_stack([0 * logits, logits]) if logits.ndim == 1 else logits
        known = {label: known.get(label, np.zeros(150)) for label in labels}
        for at, label in enumerate(labels):
            expected = known[label] - known[labels[0]]
            np.testing.assert_allclose(logits[:, at] - logits[:, 0], expected, atol=1e-12)
        known = dict(zip(labels, logits.T, strict=True))  # of two classes the first has logits 0


# Ends


def test_early_stopping_keeps_the_weights_of_the_best_epoch():
    """One point a class: every validation set has the accuracy of the whole."""
    points = np.array([[0.0, 1.0], [0.3, 1.0], [0.6, 1.0], [1.0, 1.0]]).repeat(100, axis=0)
    labels = np.arange(4).repeat(100)
    last = []
    for seed in range(4):
        model = SoftmaxClassifier(solver="sgd", learning_rate_init=10.0, momentum=0.5, batch_size=20, max_iter=30)
        model = quiet(model.set_params(early_stopping=True, random_state=seed), points, labels)
        assert model.score(points, labels) == model.best_validation_score_ == max(model.validation_scores_)
        assert len(model.validation_scores_) == model.n_iter_
        assert model.t_ == 360 * model.n_iter_
        last.append(model.validation_scores_[-1] < model.best_validation_score_)
    assert any(last)  # it can fail


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("soft", [False, True])
def test_the_validation_loss_is_that_of_the_samples_held_out(loss, soft):
    """One point a class again: with weights and smoothing, without the penalty and the weights of classes."""
    points = np.array([[0.0, 1.0], [0.3, 1.0], [0.6, 1.0], [1.0, 1.0]]).repeat(100, axis=0)
    labels, weights = np.arange(4).repeat(100), np.array([1.0, 4.0, 2.0, 0.5])
    targets = np.eye(4)[labels] * 0.6 + 0.1 if soft else labels
    options = {} if soft else {"class_weight": {0: 1, 1: 2, 2: 3, 3: 4}}
    model = SoftmaxClassifier(solver="sgd", loss=loss, label_smoothing=0.2, early_stopping=True, alpha=50.0, **options)
    model = quiet(model.set_params(max_iter=1, random_state=0, batch_size=50), points, targets, weights.repeat(100))
    probs = model.predict_proba(points[::100])
    target = 0.8 * (np.eye(4) * 0.6 + 0.1 if soft else np.eye(4)) + 0.2 / 4
    by_class = -(target * np.log(probs)).sum(1) if loss == "cross_entropy" else ((probs - target) ** 2).sum(1)
    (told,) = model.validation_loss_curve_
    assert told == pytest.approx((weights * by_class).sum() / weights.sum(), rel=1e-12)
    model = quiet(model.set_params(max_iter=5), points, targets)
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert quiet(model.set_params(early_stopping=False), points, targets).validation_loss_curve_ is None


def test_early_stopping_takes_a_class_of_one_sample():
    """As MLPClassifier does with more than two classes."""
    labels = np.where(np.arange(150) == 0, 9, Y)
    options = {"solver": "sgd", "early_stopping": True, "max_iter": 3, "random_state": 0}
    assert list(quiet(MLPClassifier(**options), X, labels).classes_) == [0, 1, 2, 9]
    assert list(quiet(SoftmaxClassifier(**options), X, labels).classes_) == [0, 1, 2, 9]


def test_the_cure_that_the_error_names_helps_partial_fit_too():
    model = SoftmaxClassifier((5,), "identity", solver="sgd", learning_rate_init=1e200, random_state=0)
    with pytest.raises(ValueError, match="learning_rate_init"):
        model.fit(X, Y)
    before = model.predict_proba(X)
    assert np.isfinite(before).all()
    model.set_params(learning_rate_init=0.01).partial_fit(X, Y)
    assert np.isfinite(model.predict_proba(X)).all()


class Recorder:
    """A callback of scikit-learn's protocol."""

    def __init__(self, stop_after=0, error=None):
        self.told, self.stop_after, self.error = [], stop_after, error

    def setup(self, estimator, context):
        self.told.append(("setup", "", None))

    def teardown(self, estimator, context):
        self.told.append(("teardown", "", None))

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self.told.append(("begin", context.task_name, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.told.append(("end", context.task_name, fitted_estimator))
        if context.task_name == "iteration" and fitted_estimator is not None:
            self.seen = X, y, metadata
            if self.error is not None and self.count("end") == 3:
                raise self.error
        return self.count("end") == self.stop_after

    def count(self, what):
        return sum(told[:2] == (what, "iteration") for told in self.told)


callbacks = pytest.mark.skipif(
    not hasattr(SoftmaxClassifier, "set_callbacks"), reason="scikit-learn has no callbacks before 1.9"
)


@callbacks
@pytest.mark.parametrize("hidden", [(), (3,)])
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_sees_the_model_of_each_iteration(solver, hidden):
    if hidden and solver.startswith(("newton", "coordinate")):
        pytest.skip("for linear models alone")
    options = {"solver": solver, "random_state": 0, "tol": 1e-3, "learning_rate_init": 0.01}
    told, weight = Recorder(stop_after=4), np.arange(1.0, 151)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # to be stopped is not to fail
        model = SoftmaxClassifier(hidden, **options).set_callbacks(told).fit(X, NAMES[Y], weight)
    assert told.told[0][0] == "setup"
    assert told.told[1][:2] == ("begin", "fit")
    assert told.told[-2][:2] == ("end", "fit")
    assert told.told[-1][0] == "teardown"
    assert model.n_iter_ == 4
    assert told.count("begin") == told.count("end") == 4 + 1  # one more, and empty, as LogisticRegression has it
    ends = [fitted for what, name, fitted in told.told if (what, name) == ("end", "iteration")]
    for n, fitted in enumerate(ends[:4], 1):
        alone = quiet(SoftmaxClassifier(hidden, **options, max_iter=n), X, NAMES[Y], weight)
        assert same_bits(fitted.predict_proba(X), alone.predict_proba(X))
    assert ends[4] is None
    assert same_bits(told.told[-2][2].predict_proba(X), model.predict_proba(X))
    assert same_bits(told.seen[0], X)
    assert np.array_equal(told.seen[1], NAMES[Y])
    assert np.array_equal(told.seen[2]["sample_weight"], weight)


@callbacks
def test_callbacks_are_torn_down_whatever_happens():
    told = Recorder(error=RuntimeError("from the callback"))
    with pytest.raises(RuntimeError, match="from the callback"):
        SoftmaxClassifier().set_callbacks(told).fit(X, Y)
    assert told.told[-1][0] == "teardown"
    told = Recorder()
    with pytest.raises(ValueError, match="not finite"):
        SoftmaxClassifier((3,), "identity", solver="sgd", learning_rate_init=1e200).set_callbacks(told).fit(X, Y)
    assert [what for what, *_ in told.told].count("teardown") == 1
    told = Recorder()
    model = SoftmaxClassifier(solver="sgd", tol=1e-2).set_callbacks(told).partial_fit(X, Y, classes=[0, 1, 2])
    names = [what for what, *_ in told.told]
    assert names.count("setup") == names.count("teardown")
    assert same_bits(pickle.loads(pickle.dumps(model.set_callbacks())).coef_, model.coef_)


@callbacks
def test_a_callback_of_a_search_comes_to_the_classifier():
    told = Recorder()
    told.max_propagation_depth = None
    if not hasattr(GridSearchCV, "set_callbacks"):
        pytest.skip("searches have no callbacks in this version")
    search = GridSearchCV(SoftmaxClassifier(tol=1e-2), {"alpha": [0.1, 1.0]}, cv=2).set_callbacks(told).fit(X, Y)
    assert told.count("begin") == told.count("end") > 2 * 2 + 1
    assert search.best_score_ > 0.8


@callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_by_a_callback_leaves_the_last_good_weights(solver):
    told = Recorder(error=KeyboardInterrupt)
    options = {"solver": solver, "learning_rate_init": 0.01, "random_state": 0}
    with pytest.warns(UserWarning, match="interrupted"):
        model = SoftmaxClassifier(**options).set_callbacks(told).fit(X, Y)
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert same_parameters(model, quiet(SoftmaxClassifier(**options, max_iter=3), X, Y))
    assert told.told[-1][0] == "teardown"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("verbose", [0, 1])
def test_ctrl_c_in_the_middle_of_a_long_fit(verbose, capfd):
    model = SoftmaxClassifier((8,), solver="adam", max_iter=10**7, tol=0.0, n_iter_no_change=10**7, verbose=verbose)
    quiet(copy.deepcopy(model).set_params(max_iter=1, verbose=0), X, Y)  # compiled
    trace = sys.gettrace()
    sys.settrace(None)  # an interrupt amid coverage's own code would leave its lock taken, and all would wait for ever
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    start = time.perf_counter()
    try:
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(X, Y)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.settrace(trace)
    assert time.perf_counter() - start < 30
    assert model.n_iter_ == len(model.loss_curve_) > 0
    assert np.isfinite(model.predict_proba(X)).all()
    out, err = capfd.readouterr()
    assert out == ""
    assert bool(err) == bool(verbose)


@pytest.mark.parametrize("solver", SOLVERS)
def test_samples_too_large_to_square_end_in_an_error_or_in_a_model(solver):
    large = 1e155 * X
    model = SoftmaxClassifier(solver=solver, max_iter=50)
    with warnings.catch_warnings(), contextlib.suppress(ValueError):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(large, Y)
    assert all(np.isfinite(array).all() for array in parameters(model))
    assert model.predict(large).shape == (150,)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_warning_names_the_line_of_the_caller(method):
    X, y = np.arange(30.0).reshape(10, 3), np.arange(10) % 2
    whole = method == "fit"
    model = SoftmaxClassifier(max_iter=1) if whole else SoftmaxClassifier(solver="sgd", batch_size=50)
    classes = {} if whole else {"classes": [0, 1]}
    with pytest.warns(UserWarning, match="Maximum iterations" if whole else "batch_size=50 is larger") as warned:
        getattr(model, method)(X, y, **classes)
    assert {warning.filename for warning in warned} == {__file__}


def test_a_network_without_intercepts_has_none_from_the_start_to_the_end():
    X, y = rng().standard_normal((30, 4)), np.arange(30) % 3
    for max_iter in (1, 20):
        model = quiet(SoftmaxClassifier((5,), fit_intercept=False, max_iter=max_iter, random_state=0), X, y)
        assert not any(intercept.any() for intercept in model.intercepts_)
        assert all(coef.any() for coef in model.coefs_)


def test_without_scikit_learns_callbacks_there_are_none(monkeypatch):
    """It has them from version 1.9 on."""
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("reports_of_before", reports.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.CallbackSupportMixin.__module__ == "reports_of_before"
    assert module.with_callbacks(test_without_scikit_learns_callbacks_there_are_none) is (
        test_without_scikit_learns_callbacks_there_are_none
    )
