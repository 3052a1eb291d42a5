"""SoftmaxClassifier: the minimum of LogisticRegression, what y and X may be, and how a fit ends.

scikit-learn's checks are in test_classifier_conformance.py, files in test_saving.py, gradients in test_objective.py.
"""

import copy
import pickle
import warnings
from functools import cache

import joblib
import numpy as np
import pytest
import scipy.sparse
from helpers import quiet, rng, same_bits, same_parameters
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import fastsoftmax as fs
from fastsoftmax import SoftmaxClassifier

X, Y = load_iris(return_X_y=True)
LOADERS = {"iris": load_iris, "wine": load_wine, "breast_cancer": load_breast_cancer, "digits": load_digits}
STOCHASTIC = {"learning_rate_init": 0.05, "batch_size": 32, "random_state": 0}


def data(name, scaled=True):
    samples, labels = LOADERS[name](return_X_y=True)
    return StandardScaler().fit_transform(samples) if scaled else samples, labels


def oracle(samples, labels, alpha=1.0, sample_weight=None, **options):
    model = LogisticRegression(C=1 / alpha, solver="newton-cg", tol=1e-9, max_iter=1000, **options)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no step goes down any more
        return model.fit(samples, labels, sample_weight)


@cache
def oracle_of(name, alpha=1.0, scaled=True):
    return oracle(*data(name, scaled), alpha)


# The minimum


@pytest.mark.parametrize("alpha", [0.1, 10.0])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("name", LOADERS)
def test_coefficients_are_those_of_logistic_regression(name, solver, alpha):
    """Within 1e-4 of the largest, all solvers run to the end."""
    samples, labels = data(name)
    ours = SoftmaxClassifier(solver=solver, alpha=alpha, tol=1e-8, max_iter=2000).fit(samples, labels)
    right = oracle_of(name, alpha)
    assert ours.coef_.shape == right.coef_.shape
    np.testing.assert_allclose(ours.coef_, right.coef_, atol=1e-4 * np.abs(right.coef_).max())
    np.testing.assert_allclose(ours.intercept_, right.intercept_, atol=1e-4 * np.abs(right.intercept_).max())
    np.testing.assert_allclose(ours.predict_proba(samples), right.predict_proba(samples), atol=1e-4)
    assert np.array_equal(ours.predict(samples), right.predict(samples))


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("name", LOADERS)
def test_by_the_usual_tolerance_the_objective_is_within_a_thousandth(name, solver):
    for scaled in (True, False):
        samples, labels = data(name, scaled)
        ours = SoftmaxClassifier(solver=solver, max_iter=500).fit(samples, labels)
        right = oracle_of(name, scaled=scaled)
        probs = right.predict_proba(samples)[np.arange(len(labels)), labels]
        best = -np.log(probs).mean() + 0.5 * (right.coef_**2).sum() / len(labels)
        assert best * (1 - 1e-9) < ours.loss_ < best * (1 + 1e-3)


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"class_weight": {0: 2.0, 2: 0.5}},
                                     {"fit_intercept": False}])  # fmt: skip
def test_options_mean_what_they_mean_there(options):
    samples, labels = data("wine")
    weight = rng(1).integers(0, 4, len(labels)).astype(float)
    ours = SoftmaxClassifier(tol=1e-8, max_iter=2000, **options).fit(samples, labels, weight)
    right = oracle(samples, labels, sample_weight=weight, **options)
    np.testing.assert_allclose(ours.coef_, right.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, right.intercept_, atol=1e-5)


def test_float32_and_sparse_find_it_too():
    samples, labels = data("digits")
    samples[np.abs(samples) < 0.5] = 0
    right = SoftmaxClassifier(tol=1e-8, max_iter=2000).fit(samples, labels)
    narrow = SoftmaxClassifier().fit(samples.astype(np.float32), labels)
    assert narrow.coef_.dtype == narrow.predict_proba(samples.astype(np.float32)).dtype == np.float32
    assert narrow.loss_ == pytest.approx(right.loss_, rel=1e-3)
    for form in (scipy.sparse.csr_array, scipy.sparse.coo_matrix):
        sparse = SoftmaxClassifier(tol=1e-8, max_iter=2000).fit(form(samples), labels)
        np.testing.assert_allclose(sparse.coef_, right.coef_, atol=1e-5)
        np.testing.assert_allclose(sparse.predict_proba(form(samples)), right.predict_proba(samples), atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"solver": "newton-cg"}, {"solver": "sgd", "batch_size": 1000},
                                     {"loss": "squared_error", "label_smoothing": 0.1}])  # fmt: skip
@pytest.mark.parametrize("soft", [False, True])
def test_whole_weights_are_repeated_rows(options, soft):
    weight = rng(2).integers(0, 4, len(Y))
    y = rng(3).dirichlet(np.ones(3), len(Y)) if soft else Y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sgd: not there yet, and a batch of all
        weighted = SoftmaxClassifier(class_weight="balanced", **options).fit(X, y, weight)
        repeated = SoftmaxClassifier(class_weight="balanced", **options).fit(X.repeat(weight, 0), y.repeat(weight, 0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7, atol=1e-9)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-9)


@pytest.mark.parametrize("hidden", [(), (8,)])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_the_three_ways_back_fit_the_same_model(solver, hidden):
    options = {"solver": solver, "max_iter": 15, **(STOCHASTIC if solver == "sgd" else {"random_state": 0})}
    fused, *others = (
        quiet(SoftmaxClassifier(hidden, backward=way, label_smoothing=0.1, class_weight={0: 2.0}, **options), X, Y)
        for way in ("fused", "vjp", "jacobian")
    )
    for other in others:
        for ours, theirs in zip(fused.coefs_ + fused.intercepts_, other.coefs_ + other.intercepts_, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-8)


# What y may be


@pytest.mark.parametrize("names", [["c", "a", "b"], [-1, 30, 7], [2.0, 1.0, 5.0]], ids=str)
def test_labels_of_every_kind(names):
    labels = np.array(names)[Y]
    for y in (labels, labels.tolist(), labels.astype(object) if labels.dtype.kind == "U" else labels):
        model = SoftmaxClassifier().fit(X, y)
        assert np.array_equal(model.classes_, np.unique(labels))
        assert (model.predict(X) == labels).mean() > 0.95


def test_probabilities_as_targets():
    one_hot = np.eye(3)[Y]
    hard, soft = SoftmaxClassifier(tol=1e-8).fit(X, Y), SoftmaxClassifier(tol=1e-8).fit(X, one_hot)
    np.testing.assert_allclose(soft.coef_, hard.coef_, atol=1e-6)
    assert np.array_equal(soft.classes_, np.arange(3))
    assert soft.score(X, one_hot) == hard.score(X, Y) == soft.score(X, Y)
    probs = rng(4).dirichlet(np.ones(3), len(Y))
    mixed = SoftmaxClassifier(tol=1e-8, class_weight={0: 3.0}).fit(X, probs)
    expanded = SoftmaxClassifier(tol=1e-8, class_weight={0: 3.0}).fit(
        X.repeat(3, 0), np.tile(np.arange(3), len(Y)), probs.ravel()
    )
    np.testing.assert_allclose(mixed.coef_, expanded.coef_, atol=1e-6)
    binary = SoftmaxClassifier(tol=1e-8).fit(X, np.eye(2)[(Y == 1).astype(int)])
    assert binary.coef_.shape == (1, 4)
    for bad, message in ((one_hot * 2, r"y\[0\] = .* is no distribution"), (one_hot - 0.5, r"y\[0\]")):
        with pytest.raises(ValueError, match=message):
            SoftmaxClassifier().fit(X, bad)


def test_two_classes_have_one_logit():
    model = SoftmaxClassifier().fit(X, np.where(Y == 1, "yes", "no"))
    z = model.decision_function(X)
    assert model.coef_.shape == (1, 4)
    assert z.shape == (150,)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-z)), rtol=1e-12)
    assert np.array_equal(model.predict(X) == "yes", z > 0)


def test_log_probabilities_stay_finite():
    model = SoftmaxClassifier().fit(X, Y)
    log_probs = model.predict_log_proba(1e4 * X)
    theirs = log_softmax(model.decision_function(1e4 * X), axis=1)  # SciPy gives 0 for what is above -eps
    np.testing.assert_allclose(log_probs, theirs, rtol=1e-12, atol=1e-15)
    assert log_probs.min() < -1e4
    assert (model.predict_proba(1e4 * X) == 0).any()


# How it goes on


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_where_it_was(solver):
    """With momentum: as many epochs as one fit of a whole batch, without shuffling."""
    options = {"solver": solver, "shuffle": False, "batch_size": 150, "learning_rate_init": 0.1}
    whole = quiet(SoftmaxClassifier(max_iter=5, **options), X, Y)
    parts = SoftmaxClassifier(**options)
    for k in range(5):
        parts.partial_fit(X, Y, classes=[0, 1, 2] if k == 0 else None)
    np.testing.assert_allclose(parts.coef_, whole.coef_, rtol=1e-9)
    assert parts.loss_curve_ == pytest.approx(whole.loss_curve_)
    assert parts.t_ == whole.t_ == 750
    quiet(parts, X, Y).partial_fit(X, Y)  # after a fit, too


def test_partial_fit_with_batches_that_lack_classes():
    model = SoftmaxClassifier((5,), solver="adam", learning_rate_init=0.02, random_state=0)
    order = np.argsort(Y, kind="stable")
    with pytest.raises(ValueError, match="classes must be passed"):
        model.partial_fit(X, Y)
    for _ in range(100):
        for rows in np.split(rng(5).permutation(order), 30):
            model.partial_fit(X[rows], Y[rows], classes=[0, 1, 2])
    assert model.score(X, Y) > 0.9
    with pytest.raises(ValueError, match=r"y has classes that are not in classes_: .*3"):
        model.partial_fit(X, Y + 1)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="partial_fit does not support class_weight"):
        clone(model).set_params(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    assert not hasattr(SoftmaxClassifier(), "partial_fit")
    soft = SoftmaxClassifier(solver="sgd").partial_fit(X, np.eye(3)[Y])
    assert np.array_equal(soft.classes_, [0, 1, 2])


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_a_warm_start_with_classes_that_come_and_go(hidden):
    model = quiet(SoftmaxClassifier(hidden, warm_start=True, random_state=0), X, Y)
    first = [coef.copy() for coef in model.coefs_]
    model.set_params(max_iter=1)
    assert quiet(model, X, Y).loss_ <= model.loss_curve_[0]
    np.testing.assert_allclose(model.coefs_[-1], first[-1], atol=0.2)
    known = model.predict_proba(X)
    model.set_params(solver="sgd", learning_rate_init=1e-300)  # so that what it starts from can be seen
    quiet(model, X, np.where(Y == 2, 7, Y))  # class 2 goes, class 7 comes
    assert list(model.classes_) == [0, 1, 7]
    np.testing.assert_allclose(model.coefs_[-1][:, :2] - model.coefs_[-1][:, 2:], first[-1][:, :2], atol=0.2)
    quiet(model, X, Y > 0)
    assert model.coefs_[-1].shape[1] == 1
    quiet(model, X, Y)
    assert model.coefs_[-1].shape[1] == 3
    two = quiet(SoftmaxClassifier(hidden, warm_start=True, random_state=0), X[Y > 0], Y[Y > 0])
    odds = two.predict_proba(X)
    quiet(two.set_params(solver="sgd", learning_rate_init=1e-300, max_iter=1), X, Y)
    three = two.predict_proba(X)[:, 1:]
    np.testing.assert_allclose(three / three.sum(axis=1, keepdims=True), odds, rtol=1e-9)
    with pytest.raises(ValueError, match=r"warm_start needs the features .*\[4(, \d)?\], got \[2(, \d)?\]"):
        two.fit(X[:, :2], Y)
    assert known.shape == (150, 3)


def test_early_stopping_keeps_the_best():
    samples, labels = data("digits")
    model = SoftmaxClassifier((16,), solver="adam", early_stopping=True, max_iter=500, learning_rate_init=0.01,
                              random_state=0).fit(samples, labels, np.ones(len(labels)))  # fmt: skip
    assert model.n_iter_ < 500
    assert len(model.validation_scores_) == model.n_iter_
    assert model.best_validation_score_ == max(model.validation_scores_) > 0.9
    assert model.best_loss_ is None


def test_the_seed_decides():
    fits = [quiet(SoftmaxClassifier((4,), solver="sgd", max_iter=3, random_state=seed), X, Y) for seed in (1, 1, 2)]
    assert same_bits(fits[0].coefs_[0], fits[1].coefs_[0])
    assert not np.array_equal(fits[0].coefs_[0], fits[2].coefs_[0])


def test_threads_do_not_change_a_bit():
    samples, labels = data("digits")
    first, *others = (
        quiet(SoftmaxClassifier((8,), n_threads=n, max_iter=5, random_state=0), samples, labels) for n in (1, 2, 3)
    )
    for model in others:
        assert same_bits(model.coefs_[0], first.coefs_[0])
        assert same_bits(model.predict_proba(samples), first.predict_proba(samples))


# How it ends


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "sgd", "adam"])
def test_too_few_iterations_are_told_with_the_cure(solver):
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(1\) reached.*Cure: a larger max_iter, .*Scaler"):
        model = SoftmaxClassifier(solver=solver, max_iter=1).fit(X, Y)
    assert model.n_iter_ == 1
    assert model.predict(X).shape == (150,)


def test_a_loss_that_is_not_finite_leaves_a_usable_model():
    model = SoftmaxClassifier((5,), activation="identity", solver="sgd", learning_rate_init=1e200, random_state=0)
    with pytest.raises(ValueError, match=r"the loss was not finite .*weights the classifier has.*learning_rate_init"):
        model.fit(X, Y)
    assert np.isfinite(model.predict_proba(X)).all()


def test_an_interrupt_leaves_a_usable_model(monkeypatch):
    def interrupt(self, now, loss):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastsoftmax.classifier.reports.Callbacks.report", interrupt)
    for solver in ("lbfgs", "sgd"):
        with pytest.warns(UserWarning, match="Training interrupted by user after 1 iterations"):
            model = SoftmaxClassifier(solver=solver).fit(X, Y)
        assert model.n_iter_ == 1
        assert np.isfinite(model.predict_proba(X)).all()
        assert model.coef_.any()


def test_verbose_is_a_bar_on_stderr(capsys):
    quiet(SoftmaxClassifier(verbose=1, solver="sgd", max_iter=7), X, Y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "7/7" in err
    assert "loss" in err
    quiet(SoftmaxClassifier(solver="sgd", max_iter=7), X, Y)
    assert capsys.readouterr() == ("", "")


class Recorder:
    """A callback that notes what it is told, and asks to stop after some iterations."""

    def __init__(self, stop_after=None, fail=False):
        self.told, self.stop_after, self.fail = [], stop_after, fail

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.told.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.told.append(f"end {context.task_name}")
        if self.fail:
            raise RuntimeError("enough")
        if fitted_estimator is not None:
            self.score = fitted_estimator.score(X, y)
        return self.told.count("end iteration") == self.stop_after


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_scikit_learns_callbacks(solver):
    pytest.importorskip("sklearn.callback", reason="scikit-learn has no callbacks before 1.9")
    told = Recorder(stop_after=3)
    model = SoftmaxClassifier(solver=solver, **(STOCHASTIC if solver == "sgd" else {})).set_callbacks(told)
    model.fit(X, np.array(["a", "b", "c"])[Y], np.ones(150))
    assert told.told[:3] == ["setup", "begin fit", "begin iteration"]
    assert told.told[-2:] == ["end fit", "teardown"]
    assert told.told.count("begin iteration") == told.told.count("end iteration")
    assert model.n_iter_ == 3
    assert told.score == model.score(X, np.array(["a", "b", "c"])[Y])
    failing = Recorder(fail=True)
    with pytest.raises(RuntimeError, match="enough"):
        SoftmaxClassifier(solver=solver).set_callbacks(failing).fit(X, Y)
    assert failing.told[-1] == "teardown"


# In scikit-learn


def test_in_pipelines_searches_and_copies():
    pipeline = make_pipeline(StandardScaler(), SoftmaxClassifier())
    assert cross_val_score(pipeline, X, Y).mean() > 0.9
    search = GridSearchCV(pipeline, {"softmaxclassifier__alpha": [0.1, 10.0]}, n_jobs=2).fit(X, Y)
    assert search.best_score_ > 0.9
    calibrated = CalibratedClassifierCV(SoftmaxClassifier(), cv=3).fit(X, Y)
    assert calibrated.score(X, Y) > 0.9
    model = quiet(SoftmaxClassifier((4,), solver="adam", random_state=0), X, Y)
    buffer = pickle.dumps(model)
    for other in (pickle.loads(buffer), copy.deepcopy(model)):
        assert same_bits(other.predict_proba(X), model.predict_proba(X))
        assert same_bits(other.partial_fit(X, Y).coefs_[0], copy.deepcopy(model).partial_fit(X, Y).coefs_[0])
    assert not hasattr(model, "coef_")
    assert not hasattr(SoftmaxClassifier(), "coef_")


def test_joblib(tmp_path):
    model = SoftmaxClassifier().fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    assert same_bits(joblib.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_temperature():
    samples, labels = data("digits")
    model = SoftmaxClassifier(alpha=1e-4, max_iter=1000, tol=1e-3).fit(samples[:400], labels[:400])
    before, predicted = model.predict_proba(samples[400:]), model.predict(samples[400:])
    assert model.temperature_ == 1
    assert model.fit_temperature(samples[400:], labels[400:]) is model
    assert model.temperature_ == fs.fit_temperature(model.decision_function(samples[400:]), labels[400:]) > 1.2
    after = model.predict_proba(samples[400:])
    every = np.arange(len(after)), labels[400:]
    assert -np.log(after[every]).mean() < -np.log(before[every]).mean()
    assert np.array_equal(model.predict(samples[400:]), predicted)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(samples[400:])), after, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"hidden_layer_sizes": (4, 0)}, ValueError), ({"hidden_layer_sizes": 2.5}, TypeError),
        ({"activation": "gelu"}, ValueError), ({"loss": "hinge"}, ValueError), ({"solver": "sag"}, ValueError),
        ({"backward": "magic"}, ValueError), ({"learning_rate": "fast"}, ValueError), ({"alpha": -1}, ValueError),
        ({"alpha": np.nan}, ValueError), ({"alpha": "a"}, TypeError), ({"tol": -1}, ValueError),
        ({"max_iter": 0}, ValueError), ({"max_iter": 2.5}, TypeError), ({"batch_size": 0}, ValueError),
        ({"batch_size": "some"}, TypeError), ({"learning_rate_init": 0}, ValueError), ({"momentum": 1.5}, ValueError),
        ({"beta_1": 1}, ValueError), ({"beta_2": -0.1}, ValueError), ({"epsilon": 0}, ValueError),
        ({"n_iter_no_change": 0}, ValueError), ({"validation_fraction": 1}, ValueError), ({"n_threads": 0}, ValueError),
        ({"label_smoothing": 1.5}, ValueError), ({"shuffle": 1}, TypeError), ({"early_stopping": "no"}, TypeError),
        ({"class_weight": "even"}, ValueError), ({"class_weight": [1, 2, 3]}, TypeError),
        ({"class_weight": {0: -1.0}}, ValueError), ({"power_t": -1}, ValueError), ({"warm_start": None}, TypeError),
        ({"fit_intercept": "yes"}, TypeError), ({"nesterovs_momentum": 0}, TypeError),
    ],
    ids=str,
)  # fmt: skip
def test_bad_parameters_are_named(options, kind):
    with pytest.raises(kind, match=next(iter(options))):
        SoftmaxClassifier(**options).fit(X, Y)


def test_bad_data():
    with pytest.raises(ValueError, match="newton-cg' needs hidden_layer_sizes"):
        SoftmaxClassifier((3,), solver="newton-cg").fit(X, Y)
    with pytest.raises(ValueError, match="only one class"):
        SoftmaxClassifier().fit(X, np.zeros(150))
    for weight in (np.zeros(150), -np.ones(150), np.full(150, np.nan), np.ones(149)):
        with pytest.raises(ValueError, match=r"(?i)sample.weight"):
            SoftmaxClassifier().fit(X, Y, weight)
    with pytest.raises(ValueError, match="leave no sample"):
        SoftmaxClassifier(class_weight={0: 0.0, 1: 1.0, 2: 1.0}).fit(X, Y, (Y == 0).astype(float))
    with pytest.raises(ValueError, match="validation set is too small"):
        SoftmaxClassifier(solver="sgd", early_stopping=True, validation_fraction=0.01).fit(X[:60], Y[:60])
    with pytest.warns(UserWarning, match="batch_size=500 is larger than the number of samples, 150"):
        quiet(SoftmaxClassifier(solver="sgd", batch_size=500), X, Y)


@pytest.mark.parametrize(
    ("load", "solver", "options"),
    [
        (load_iris, "newton-cholesky", {}),
        (load_digits, "lbfgs", {}),
        (load_iris, "lbfgs", {"loss": "squared_error"}),
        (load_iris, "lbfgs", {"backward": "vjp"}),
        (load_iris, "lbfgs", {"hidden_layer_sizes": (3,), "random_state": 0, "max_iter": 5}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),  # no address: the same in each process
)
def test_the_solver_is_chosen_by_the_data(load, solver, options):
    data = load(return_X_y=True)
    by_default = quiet(SoftmaxClassifier(**options), *data)
    assert same_parameters(by_default, quiet(SoftmaxClassifier(solver=solver, **options), *data))


@pytest.mark.parametrize(
    "options", [{"solver": s} for s in ("lbfgs", "newton-cg", "newton-cholesky", "sgd")] + [{"l1_ratio": 0.5}], ids=str
)
def test_numbers_of_a_csr_matrix_that_come_in_parts_are_added_up(options):
    """As terms are often counted: indices that are named twice, and not in order."""
    X, y = load_iris(return_X_y=True)
    parts = scipy.sparse.csr_matrix(
        (np.repeat(X.ravel() / 2, 2), np.repeat(np.tile([3, 0, 2, 1], 150), 2), 8 * np.arange(151)), (150, 4)
    )
    whole = scipy.sparse.csr_matrix(parts.toarray())
    fits = [quiet(SoftmaxClassifier(random_state=0, max_iter=50, **options), data, y) for data in (parts, whole)]
    assert same_parameters(*fits)
    assert same_bits(*(model.predict_proba(data) for model, data in zip(fits, (parts, whole), strict=True)))
