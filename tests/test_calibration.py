"""The temperature: the one of least loss, found as others find it."""

import math

import numpy as np
import pytest
from helpers import rng
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
    assert fs.fit_temperature(logits / 100, labels) == pytest.approx(fs.fit_temperature(logits, labels) / 100, rel=1e-9)
    shifted = logits + 50 * rng(1).standard_normal((len(logits), 1))
    assert fs.fit_temperature(shifted, labels) == pytest.approx(fs.fit_temperature(logits, labels), rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_temperature_is_better(weighted):
    logits, labels = overconfident(n=300)
    weight = rng(2).integers(0, 3, 300) if weighted else None
    found = fs.fit_temperature(logits, labels, sample_weight=weight)
    search = minimize_scalar(
        lambda t: nll(math.exp(t), logits, labels, weight), bounds=(-3, 3), options={"xatol": 1e-10}
    )
    assert found == pytest.approx(math.exp(search.x), rel=1e-4)
    assert found == pytest.approx(fs.reference.fit_temperature(logits, labels, sample_weight=weight), rel=1e-6)
    if weighted:
        repeated = fs.fit_temperature(logits.repeat(weight, 0), labels.repeat(weight))
        assert found == pytest.approx(repeated, rel=1e-9)


def test_distributions_and_other_dtypes():
    logits, labels = overconfident(n=300)
    right = fs.fit_temperature(logits, labels)
    assert fs.fit_temperature(logits, np.eye(5)[labels]) == pytest.approx(right, rel=1e-9)
    assert fs.fit_temperature(logits.astype(np.float32), labels) == pytest.approx(right, rel=1e-5)
    assert type(right) is float


def test_where_no_temperature_is_best():
    logits = np.array([[2.0, 0.0], [0.0, 3.0]])
    with pytest.warns(RuntimeWarning, match="every sample is right"):
        assert fs.fit_temperature(logits, [0, 1]) == pytest.approx(math.exp(-10))
    with pytest.warns(RuntimeWarning, match="no better than chance"):
        assert fs.fit_temperature(logits, [1, 0]) == pytest.approx(math.exp(10))
    assert fs.fit_temperature(np.zeros((3, 2)), [0, 1, 0]) == 1.0


def test_bad_input():
    for logits, labels, message in (
        ([1.0, 2.0], [0], r"logits must have shape \(n_samples, n_classes\)"),
        (np.empty((0, 3)), [], "logits must have shape .* and not be empty"),
        ([[1.0, np.nan]], [0], "logits must be finite"),
        ([[1.0, np.inf]], [0], "logits must be finite"),
        ([[1.0, 2.0]], [2], r"targets\[0\] = 2 is not a class"),
    ):
        with pytest.raises(ValueError, match=message):
            fs.fit_temperature(logits, labels)
    with pytest.raises(ValueError, match="sample_weight"):
        fs.fit_temperature([[1.0, 2.0]], [0], sample_weight=[-1.0])
