"""The temperature: the one of least loss, found as others find it."""

import math

import numpy as np
import pytest
from helpers import derivative, rng
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

import fastsoftmax as fs


def overconfident(temperature=2.5, n=4000, n_classes=5, seed=0):
    """Logits that are so many times too large for labels drawn from them."""
    random = rng(seed)
    logits = 2 * random.standard_normal((n, n_classes))
    labels = np.array([random.choice(n_classes, p=p) for p in softmax(logits, axis=1)])
    return temperature * logits, labels


def nll(temperature, logits, labels, weight=None):
    return np.average(-log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels], weights=weight)


def test_a_known_temperature_is_found():
    logits, labels = overconfident()
    assert fs.fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("factor", [1e-30, 1e-6, 0.01, 1e5, 1e30])
def test_it_grows_with_the_logits(factor):
    logits, labels = overconfident(n=300)
    found = fs.fit_temperature(logits, labels)
    assert fs.fit_temperature(factor * logits, labels) == pytest.approx(factor * found, rel=1e-9)


def test_what_is_added_to_a_sample_and_one_that_is_far_off_do_not_matter():
    logits, labels = overconfident()
    found = fs.fit_temperature(logits, labels)
    shifted = logits + 50 * rng(1).standard_normal((len(logits), 1))
    assert fs.fit_temperature(shifted, labels) == pytest.approx(found, rel=1e-9)
    with_outlier = np.r_[logits, [[1e9, 0, 0, 0, 0]]]
    assert fs.fit_temperature(with_outlier, np.r_[labels, 0]) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_temperature_is_better(weighted):
    logits, labels = overconfident(n=300)
    weight = rng(2).integers(0, 3, 300) if weighted else None
    found = fs.fit_temperature(logits, labels, sample_weight=weight)
    assert derivative(lambda t: nll(t, logits, labels, weight), found, 1.0) == pytest.approx(0, abs=1e-12)
    search = minimize_scalar(
        lambda t: nll(math.exp(t), logits, labels, weight), bounds=(-3, 3), options={"xatol": 1e-10}
    )
    assert found == pytest.approx(math.exp(search.x), rel=1e-6)
    assert found == pytest.approx(fs.reference.fit_temperature(logits, labels, sample_weight=weight), rel=1e-6)
    if weighted:
        repeated = fs.fit_temperature(logits.repeat(weight, 0), labels.repeat(weight))
        assert found == pytest.approx(repeated, rel=1e-9)


def test_scikit_learn_finds_it_too():
    pytest.importorskip("sklearn", minversion="1.8", reason='no CalibratedClassifierCV(method="temperature") before')
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    logits, labels = overconfident(n=600)
    fitted = LogisticRegression().fit(logits, labels)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted), method="temperature").fit(logits, labels)
    decision = fitted.decision_function(logits)
    probs = fs.softmax(decision, temperature=fs.fit_temperature(decision, labels))
    np.testing.assert_allclose(calibrated.predict_proba(logits), probs, rtol=1e-5)


def test_distributions_and_other_dtypes():
    logits, labels = overconfident(n=300)
    right = fs.fit_temperature(logits, labels)
    assert type(right) is float
    assert fs.fit_temperature(logits, np.eye(5)[labels]) == pytest.approx(right, rel=1e-9)
    assert fs.fit_temperature(logits.astype(np.float32), labels) == pytest.approx(right, rel=1e-5)
    assert fs.fit_temperature(logits.tolist(), labels.tolist()) == right
    probs = softmax(logits / 4, axis=1)
    assert fs.fit_temperature(logits, probs) == pytest.approx(4, rel=1e-9)


def test_its_arguments_stay_as_they_are():
    logits, labels = overconfident(n=300)
    copy = logits.copy()
    logits.flags.writeable = False
    fs.fit_temperature(logits, labels)
    assert np.array_equal(logits, copy)


def test_where_no_temperature_is_best():
    logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    with pytest.warns(RuntimeWarning, match="every sample is right") as warned:
        assert fs.fit_temperature(logits, [0, 1]) == pytest.approx(3 * math.exp(-30))
    assert warned[0].filename == __file__
    with pytest.warns(RuntimeWarning, match="no better than chance"):
        assert fs.fit_temperature(logits, [1, 0]) == pytest.approx(3 * math.exp(30))
    with pytest.warns(RuntimeWarning, match="no better than chance"):  # as good as chance, to the last digit
        fs.fit_temperature(logits.repeat(2, 0), [0, 1, 0, 1])
    with pytest.warns(RuntimeWarning, match="no better than chance"):  # and its slope is exactly 0
        fs.fit_temperature([[1e-10, 0.0], [1e-10, 0.0], [1.0, 0.0]], [0, 1, 0], sample_weight=[1, 1, 0])
    assert fs.fit_temperature(np.zeros((3, 2)), [0, 1, 0]) == 1.0
    assert fs.fit_temperature([[5.0], [6.0]], [0, 0]) == 1.0
    assert fs.fit_temperature([[2.0, 0.0], [1.0, 1.0]], [0, 1], sample_weight=[0, 1]) == 1.0


def test_bad_input():
    for logits, labels, message in (
        ([1.0, 2.0], [0], r"logits must have shape \(n_samples, n_classes\)"),
        (np.empty((0, 3)), [], "logits must have shape .* and not be empty"),
        (np.empty((3, 0)), [0, 0, 0], "logits must have shape .* and not be empty"),
        ([[1.0, np.nan]], [0], "logits must be finite"),
        ([[1.0, np.inf]], [0], "logits must be finite"),
        ([[1.0, -np.inf]], [0], "logits must be finite"),
        ([[1e308, -1e308]], [0], "logits must be finite, and their differences too"),
        ([[1.0, 2.0]], [2], r"targets\[0\] = 2 is not a class"),
        ([[1.0, 2.0]], [0, 1], r"targets must have shape \(1,\), got \(2,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            fs.fit_temperature(logits, labels)
    for weight in ([-1.0], [0.0], [1.0, 1.0]):
        with pytest.raises(ValueError, match="sample_weight"):
            fs.fit_temperature([[1.0, 2.0]], [0], sample_weight=weight)
    for arguments, name in ((([["a"]], [0]), "logits"), (([[1.0, 2.0]], ["a"]), "targets")):
        with pytest.raises(TypeError, match=f"{name} must hold real numbers"):
            fs.fit_temperature(*arguments)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("labels", [[0, 1], [1, 0]])
@pytest.mark.filterwarnings("ignore:no temperature is best:RuntimeWarning")
def test_softmax_takes_every_temperature_that_is_found(dtype, labels):
    """However small or large the logits are for their dtype."""
    limits = np.finfo(dtype)
    for size in (limits.smallest_subnormal, limits.tiny, 1e-4, 1, 1e4, limits.max / 4):
        logits = np.array([[size, 0], [0, size]], dtype)
        temperature = fs.fit_temperature(logits, labels)
        assert 0 < temperature < np.inf
        assert np.allclose(fs.softmax(logits, temperature=temperature).sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore:no temperature is best:RuntimeWarning")
def test_a_classifier_predicts_after_any_calibration():
    X = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    model = fs.SoftmaxClassifier().fit(X, y)
    for scale in (1e30, 1e-30):
        model.fit_temperature(X * np.float32(scale), 1 - y)
        assert np.isfinite(model.predict_proba(X)).all()


def test_the_range_is_of_the_differences_within_a_row():
    """Not of the logits themselves, which mean the same with any number added to a row."""
    for offset in (0.0, 1e6):
        with pytest.warns(RuntimeWarning) as caught:
            temperature = fs.fit_temperature([[1 + offset, offset], [0.0, 1.0]], [0, 1])
        assert temperature == pytest.approx(np.exp(-30), rel=1e-9)
        assert str(caught[0].message) == (
            f"no temperature is best: every sample is right; it is set to {temperature:g}"
        )
    with pytest.warns(RuntimeWarning) as caught:
        temperature = fs.fit_temperature([[1.0, 0.0], [0.0, 1.0]], [1, 0])
    assert temperature == pytest.approx(np.exp(30), rel=1e-9)
    assert str(caught[0].message) == f"no temperature is best: no better than chance; it is set to {temperature:g}"


def test_the_words_of_the_errors():
    for logits, text in (
        ([1.0, 2.0], r"logits must have shape \(n_samples, n_classes\) and not be empty, got \(2,\)"),
        (np.empty((0, 3)), r"logits must have shape \(n_samples, n_classes\) and not be empty, got \(0, 3\)"),
        ([[0.0, np.inf]], "logits must be finite, and their differences too"),
        ([[1e308, -1e308]], "logits must be finite, and their differences too"),
    ):
        with pytest.raises(ValueError, match=f"^{text}$"):
            fs.fit_temperature(logits, [0])
