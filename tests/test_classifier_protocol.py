"""SoftmaxClassifier among scikit-learn's tools: labels, steps, probabilities, searches, threads and files."""

import contextlib
import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn
from helpers import parameters, quiet, rng, same_bits, same_parameters
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.datasets import load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastsoftmax as fs
from fastsoftmax import SoftmaxClassifier

RAW, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(RAW)
NAMES = np.array(["setosa", "versicolor", "virginica"])


# Labels and frames


@pytest.mark.parametrize(
    "labels",
    [
        NAMES[Y], NAMES.astype(object)[Y], NAMES[Y].tolist(), Y > 0, (Y - 7).astype(np.int8), Y.astype(np.uint16),
        Y.astype(np.float32), Y + 2**62, (Y * 3 - 1).tolist(),
    ],
    ids=["str", "object", "list", "bool", "int8", "uint16", "float32", "large", "ints"],
)  # fmt: skip
def test_classes_are_those_of_logistic_regression(labels):
    ours, theirs = SoftmaxClassifier().fit(X, labels), LogisticRegression().fit(X, labels)
    assert same_bits(ours.classes_.astype(str), theirs.classes_.astype(str))
    assert ours.classes_.dtype == theirs.classes_.dtype == ours.predict(X).dtype
    assert np.mean(ours.predict(X) == theirs.predict(X)) > 0.98
    assert ours.score(X, labels) == np.mean(ours.predict(X) == np.asarray(labels)) > 0.9


@pytest.mark.parametrize(
    "labels", [Y + 0.5, np.where(Y == 0, np.nan, Y), np.array([1, "a", 2.5], object)[Y], Y + 1j, np.eye(3)[Y][None]],
    ids=["continuous", "nan", "mixed", "complex", "3-D"],
)  # fmt: skip
def test_what_logistic_regression_refuses_is_refused(labels):
    for model in (LogisticRegression(), SoftmaxClassifier()):
        with pytest.raises((TypeError, ValueError)):
            model.fit(X, labels)
        assert not hasattr(model, "coef_")


def test_bytes_are_refused_at_once_or_work_throughout():
    """LogisticRegression refuses them; a model that fits but cannot be scored is of no use in a search."""
    labels = np.array([b"a", b"b", b"c"])[Y]
    try:
        model = SoftmaxClassifier().fit(X, labels)
    except TypeError:
        return
    assert model.score(X, labels) > 0.9


@pytest.mark.parametrize(
    "bad", [[-0.1, 0.6, 0.5], [0.1, 0.6, 0.5], [np.nan, 0.5, 0.5], [np.inf, 0, 0], [0, 0, 0]], ids=str
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score", "fit_temperature"])
def test_rows_that_are_no_distribution_are_refused(method, bad):
    model, probs = SoftmaxClassifier(solver="sgd").partial_fit(X, np.eye(3)[Y]), np.eye(3)[Y]
    before = copy.deepcopy(model)
    probs[7] = bad
    with pytest.raises(ValueError, match=r"y\b"):
        getattr(model, method)(X, probs)
    assert same_parameters(model, before)
    assert model.temperature_ == 1


def test_frames():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(RAW, columns=["a", "b", "c", "d"])
    for labels in (pandas.Series(NAMES[Y]), pandas.Series(NAMES[Y], dtype="category")):
        model = SoftmaxClassifier().fit(frame, labels, pandas.Series(np.ones(150)))
        assert list(model.feature_names_in_) == ["a", "b", "c", "d"]
        assert model.n_features_in_ == 4
        assert set(model.predict(frame)) == set(NAMES)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(RAW)
    soft = SoftmaxClassifier().fit(frame, pandas.DataFrame(np.eye(3)[Y], columns=NAMES))
    assert np.array_equal(soft.classes_, [0, 1, 2])


def test_a_weight_of_zero_is_an_absent_row_and_its_class_stays():
    weight = (Y < 2).astype(float)
    for options in ({}, {"class_weight": "balanced"}):
        ours = SoftmaxClassifier(tol=1e-9, **options).fit(X, Y, weight)
        assert np.array_equal(ours.classes_, [0, 1, 2])
        assert np.isfinite(ours.predict_proba(X)).all()
        assert np.mean(ours.predict(X[:100]) == Y[:100]) > 0.9
    assert same_bits(SoftmaxClassifier().fit(X, Y, 2.0).coef_, SoftmaxClassifier().fit(X, Y, np.full(150, 2.0)).coef_)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_class_weights_multiply_sample_weights(loss, label_smoothing):
    options = {"loss": loss, "label_smoothing": label_smoothing, "tol": 1e-8, "max_iter": 3000}
    weight = rng(3).uniform(0.5, 2, 150)
    by_class = SoftmaxClassifier(class_weight={0: 0.3, 2: 4.0}, **options).fit(X, Y, weight)
    by_row = SoftmaxClassifier(**options).fit(X, Y, weight * np.array([0.3, 1.0, 4.0])[Y])
    np.testing.assert_allclose(by_class.coef_, by_row.coef_, atol=1e-4)


def test_nothing_that_is_handed_in_changes():
    class_weight, weight, start = {"setosa": 2.0}, np.arange(150.0), X.copy()
    SoftmaxClassifier((3,), class_weight=class_weight, solver="adam", tol=1e-2).fit(X, NAMES[Y], weight)
    assert class_weight == {"setosa": 2.0}
    assert same_bits(np.column_stack([X, weight]), np.column_stack([start, np.arange(150)]))


# Step by step


@pytest.mark.parametrize("hidden", [(), (5, 3)])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_calls_of_partial_fit_are_the_epochs_of_a_fit(solver, hidden):
    """After a fit, too; momentum goes on."""
    options = {"solver": solver, "random_state": 3, "shuffle": False, "batch_size": 32, "learning_rate_init": 0.02}
    whole = quiet(SoftmaxClassifier(hidden, max_iter=6, **options), X, NAMES[Y])
    calls = SoftmaxClassifier(hidden, **options)
    for k in range(6):
        calls.partial_fit(X, NAMES[Y], classes=NAMES[::-1] if k == 0 else None)
    later = quiet(SoftmaxClassifier(hidden, max_iter=2, **options), X, NAMES[Y])
    for _ in range(4):
        later.partial_fit(X, NAMES[Y])
    for model in (calls, later):
        assert model.loss_curve_ == pytest.approx(whole.loss_curve_, rel=1e-12)
        assert model.t_ == whole.t_ == 900
        for a, b in zip(parameters(model), parameters(whole), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    first = quiet(SoftmaxClassifier(hidden, max_iter=1, **options).set_params(shuffle=True), X, Y)
    again = SoftmaxClassifier(hidden, **options).set_params(shuffle=True).partial_fit(X, Y, classes=[0, 1, 2])
    assert same_parameters(first, again)
    assert not same_parameters(first, quiet(SoftmaxClassifier(hidden, max_iter=1, **options), X, Y))


def test_partial_fit_takes_any_batch_and_leaves_the_model_whole_when_it_refuses_one():
    model = SoftmaxClassifier(solver="sgd", batch_size=1, learning_rate_init=0.05)
    model.partial_fit(X[:1].astype(np.float32), ["a"], classes=["c", "a", "b", "b"])
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.coef_.dtype == np.float32
    model.partial_fit(X, np.array(["a", "b", "c"])[Y], sample_weight=np.arange(150))
    assert model.coef_.dtype == np.float32
    before = copy.deepcopy(model)
    for wrong in ((X, ["d"] * 150), (X[:, :3], ["a"] * 150), (X, ["a"] * 149), (X, ["a"] * 150, ["a", "b"]),
                  (X, ["a"] * 150, None, -np.ones(150))):  # fmt: skip
        with pytest.raises(ValueError):  # noqa: PT011
            model.partial_fit(*wrong)
        assert same_parameters(model, before)
    assert same_bits(model.partial_fit(X, ["a"] * 150).coef_, before.partial_fit(X, ["a"] * 150).coef_)
    with pytest.raises(AttributeError):
        SoftmaxClassifier().partial_fit  # noqa: B018
    with pytest.raises(ValueError, match="early_stopping"):
        SoftmaxClassifier(solver="sgd", early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])


# Probabilities


@pytest.mark.parametrize("case", ["binary", "hidden"])
def test_log_probabilities_of_extreme_logits(case):
    y = Y > 0 if case == "binary" else Y
    model = quiet(SoftmaxClassifier((4,) if case == "hidden" else (), random_state=0, activation="identity"), X, y)
    far = 1e4 * X
    logits, log_probs = model.decision_function(far), model.predict_log_proba(far)
    logits = np.column_stack([np.zeros_like(logits), logits]) if logits.ndim == 1 else logits
    np.testing.assert_allclose(log_probs, log_softmax(logits, axis=1), rtol=1e-12, atol=1e-30)
    assert log_probs.min() < -1e4
    assert np.isfinite(log_probs).all()
    assert (model.predict_proba(far) == 0).any()


@pytest.mark.parametrize("binary", [False, True])
def test_the_temperature_is_that_of_a_plain_search(binary):
    samples, labels = load_breast_cancer(return_X_y=True) if binary else load_digits(return_X_y=True)
    samples = StandardScaler().fit_transform(samples)
    model = quiet(SoftmaxClassifier(alpha=1e-3), samples[::2], labels[::2])
    held, true, weight = samples[1::2], labels[1::2], rng(0).integers(0, 3, len(labels[1::2]))
    logits = model.decision_function(held)
    logits = np.column_stack([0 * logits, logits]) if binary else logits

    def loss(log_temperature):
        log_probs = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -(weight * log_probs[np.arange(len(true)), true]).sum()

    best = np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x)
    predicted, before = model.predict(held), model.predict_proba(held)
    assert model.fit_temperature(held, true, weight).temperature_ == pytest.approx(best, rel=1e-5)
    assert np.array_equal(model.predict(held), predicted)
    assert not np.allclose(model.predict_proba(held), before)
    np.testing.assert_allclose(
        np.log(model.predict_proba(held).max(axis=1)), log_softmax(logits / best, 1).max(1), atol=1e-5
    )
    np.testing.assert_allclose(model.decision_function(held).ravel(), logits[:, 1] if binary else logits.ravel())
    assert quiet(model, samples, labels).temperature_ == 1


# Among others


def test_scores_are_those_of_logistic_regression_in_a_pipeline_and_a_search():
    options = {"softmaxclassifier__alpha": [0.01, 1.0, 100.0]}
    ours = GridSearchCV(make_pipeline(StandardScaler(), SoftmaxClassifier(tol=1e-7)), options, cv=3).fit(RAW, Y)
    options = {"logisticregression__C": [100.0, 1.0, 0.01]}
    theirs = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression(tol=1e-7)), options, cv=3).fit(RAW, Y)
    assert np.array_equal(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])
    scores = cross_val_score(SoftmaxClassifier(tol=1e-7), X, Y, scoring="neg_log_loss")
    right = cross_val_score(LogisticRegression(tol=1e-7), X, Y, scoring="neg_log_loss")
    np.testing.assert_allclose(scores, right, rtol=1e-4)


def test_weights_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        model = SoftmaxClassifier().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(model, {"alpha": [1.0]}).fit(X, Y, sample_weight=np.arange(150))
    assert same_bits(search.best_estimator_.coef_, SoftmaxClassifier().fit(X, Y, np.arange(150)).coef_)


def test_threads_of_python_and_of_ours():
    samples, labels = np.tile(load_digits().data, (6, 1)), np.tile(load_digits().target, 6)
    before, options = fs.get_num_threads(), {"random_state": 0, "max_iter": 4}
    models = [SoftmaxClassifier(hidden, n_threads=n, **options) for hidden in ((), (8,)) for n in (1, 2)]
    fits = [quiet(model, samples, labels) for model in models]
    for one, two in (fits[:2], fits[2:]):
        assert same_parameters(one, two)
        assert same_bits(one.predict_proba(samples), two.predict_proba(samples))
    with pytest.raises(ValueError, match="only one class"):
        SoftmaxClassifier(n_threads=1).fit(X, np.zeros(150))
    assert fs.get_num_threads() == before
    with warnings.catch_warnings(), ThreadPoolExecutor(3) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        jobs = [pool.submit(copy.deepcopy(model).fit, samples, labels) for model in models * 2]
        results = [job.result() for job in jobs]
    assert all(same_parameters(a, b) for a, b in zip(results, fits * 2, strict=True))


# Files


class Hostile:
    def __reduce__(self):
        return Hostile.fire, ()

    @staticmethod
    def fire():
        raise AssertionError("code in the file was run")


def test_a_file_that_is_believed_holds_the_model_that_was_saved(tmp_path):
    path, random = tmp_path / "model", rng(7)
    model = quiet(SoftmaxClassifier((5, 3), solver="adam", class_weight={"setosa": 2.0}, random_state=0), X, NAMES[Y])
    model.fit_temperature(X, NAMES[Y]).save(path)
    whole = path.read_bytes()
    for content in (b"", b"PK", pickle.dumps(Hostile()), *(whole[:n] for n in random.integers(0, len(whole), 60))):
        path.write_bytes(content)
        with pytest.raises(fs.ModelFormatError):
            SoftmaxClassifier.load(path)
    for _ in range(200):  # a bit may be one that says nothing, such as the time of a member
        content = bytearray(whole)
        content[random.integers(len(whole))] ^= 1 << random.integers(8)
        path.write_bytes(content)
        with contextlib.suppress(fs.ModelFormatError):
            believed = SoftmaxClassifier.load(path)
            assert believed.get_params() == model.get_params()
            assert list(believed.classes_) == list(NAMES)
            assert same_bits(believed.predict_proba(X), model.predict_proba(X))
    np.savez(tmp_path / "b", coefs_0=np.array([Hostile()], object))
    with pytest.raises(fs.ModelFormatError):
        SoftmaxClassifier.load(tmp_path / "b.npz")
