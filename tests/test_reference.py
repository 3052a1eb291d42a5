"""The oracle itself, against SciPy, mpmath and finite differences: nothing here is compared with the fast code."""

import mpmath
import numpy as np
import pytest
import scipy.special
from helpers import derivative, nasty_rows, rng

from fastsoftmax import reference


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("axis", [-1, 0, 1, None, (0, 2)])
def test_maps_equal_scipy(name, axis):
    logits = 5 * rng().standard_normal((3, 4, 5))
    expected = getattr(scipy.special, name)(logits, axis=axis)
    np.testing.assert_allclose(getattr(reference, name)(logits, axis), expected, rtol=1e-13, atol=1e-15)
    if name != "logsumexp":
        expected = getattr(scipy.special, name)(logits / 3, axis=axis)
        np.testing.assert_allclose(getattr(reference, name)(logits, axis, temperature=3.0), expected, rtol=1e-12)


def test_softmax_in_50_digits():
    row = [3.0, -2.0, 0.5, 11.0]
    with mpmath.workdps(50):
        total = mpmath.fsum(mpmath.exp(x) for x in row)
        exact = [float(mpmath.exp(x) / total) for x in row]
    np.testing.assert_allclose(reference.softmax(row), exact, rtol=4e-16)


@pytest.mark.parametrize("name", nasty_rows())
def test_nasty_rows(name):
    row = np.array(nasty_rows()[name])
    finite = np.isfinite(row.max())
    assert np.isnan(reference.softmax(row)).all() != finite
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(reference.logsumexp(row), scipy.special.logsumexp(row), atol=1e-16)


def test_where_hides():
    logits = np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])
    where = np.array([[True, False, True], [False] * 3])
    np.testing.assert_allclose(reference.softmax(logits, where=where)[0, [0, 2]], scipy.special.softmax([1.0, 2.0]))
    assert (reference.softmax(logits, where=where)[1] == 0).all()
    assert (reference.log_softmax(logits, where=where)[1] == -np.inf).all()
    assert reference.logsumexp(logits, where=where)[1] == -np.inf


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_jacobians_equal_finite_differences(name):
    logits = rng().standard_normal(5)
    at = getattr(reference, name)(logits)
    jacobian = getattr(reference, f"{name}_jacobian")(at)
    numerical = np.stack([derivative(getattr(reference, name), logits, e) for e in np.eye(5)], axis=1)
    np.testing.assert_allclose(jacobian, numerical, atol=1e-11)
    vector = rng(1).standard_normal(5)
    np.testing.assert_allclose(getattr(reference, f"{name}_jvp")(at, vector), numerical @ vector, atol=1e-10)
    np.testing.assert_allclose(getattr(reference, f"{name}_vjp")(at, vector), vector @ numerical, atol=1e-10)
    assert getattr(reference, f"{name}_jacobian")(np.ones((2, 3, 4))).shape == (2, 3, 4, 4)


def test_losses_by_hand():
    """Two samples, three classes, written out."""
    logits, labels = np.log([[1.0, 2.0, 5.0], [2.0, 2.0, 4.0]]), np.array([1, 2])
    probs = np.array([[1, 2, 5], [2, 2, 4]]) / 8
    assert reference.cross_entropy(logits, labels) == pytest.approx(-(np.log(1 / 4) + np.log(1 / 2)) / 2)
    assert reference.squared_error(logits, labels) == pytest.approx(((1 + 36 + 25) / 64 + (4 + 4 + 16) / 64) / 2)
    _, grad = reference.cross_entropy_value_and_grad(logits, labels, reduction="sum")
    np.testing.assert_allclose(grad, probs - [[0, 1, 0], [0, 0, 1]], atol=1e-15)
    weighted = reference.cross_entropy(logits, labels, class_weight=[1, 2, 3], sample_weight=[1, 4])
    assert weighted == pytest.approx(-(2 * np.log(1 / 4) + 12 * np.log(1 / 2)) / 14)
    smooth = reference.cross_entropy(logits[:1], labels[:1], label_smoothing=0.3)
    assert smooth == pytest.approx(-(0.1 * np.log(1 / 8) + 0.8 * np.log(1 / 4) + 0.1 * np.log(5 / 8)))
    weighted = reference.squared_error(logits, labels, class_weight=[1, 2, 3])
    assert weighted == pytest.approx((2 * 62 / 64 + 3 * 24 / 64) / 5)
    assert reference.cross_entropy(logits, [1, -1], ignore_index=-1) == pytest.approx(-np.log(1 / 4))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2, "class_weight": [1.0, 2.0, 0.5]}])
def test_gradients_equal_finite_differences(loss, options):
    logits, direction = rng().standard_normal((2, 4, 3))
    for targets in (np.array([0, 2, 1, 1]), rng(1).dirichlet(np.ones(3), 4)):
        _, grad = getattr(reference, f"{loss}_value_and_grad")(logits, targets, **options)
        numerical = derivative(lambda z, t=targets: getattr(reference, loss)(z, t, **options), logits, direction)
        assert np.vdot(grad, direction) == pytest.approx(numerical, rel=1e-9)


def test_the_naive_way_stays_finite_where_a_probability_is_0():
    _, grad = reference.cross_entropy_value_and_grad(np.array([[2000.0, 0.0]]), [1])
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", ["cross_entropy", "squared_error", "cross_entropy_value_and_grad"])
@pytest.mark.parametrize("reduction", ["median", "um", None])
def test_a_reduction_that_is_none_is_not_a_sum(name, reduction):
    with pytest.raises(ValueError, match='reduction must be "none", "sum" or "mean", got'):
        getattr(reference, name)(np.zeros((2, 3)), [0, 1], reduction=reduction)


def test_distributions_have_no_label_to_ignore():
    assert reference.cross_entropy(np.zeros((2, 3)), np.full((2, 3), 1 / 3), ignore_index=-100) > 1
    with pytest.raises(ValueError, match="ignore_index must be None or negative where targets are distributions"):
        reference.cross_entropy(np.zeros((2, 3)), np.full((2, 3), 1 / 3), ignore_index=1)
