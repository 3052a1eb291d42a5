"""check_grad: right derivatives pass, wrong ones do not, however slightly."""

import re

import numpy as np
import pytest
from helpers import rng

import fastsoftmax as fs
from fastsoftmax.testing import check_grad

LABELS = np.array([2, 0, 1, 1])


def loss(logits):
    return fs.cross_entropy(logits, LABELS)


def grad(logits):
    return fs.cross_entropy_value_and_grad(logits, LABELS)[1]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_right_derivatives_pass(name):
    function, at = getattr(fs, name), 3 * rng().standard_normal((4, 5))
    jvp = lambda z, v: getattr(fs, f"{name}_jvp")(function(z), v)  # noqa: E731
    vjp = lambda z, u: getattr(fs, f"{name}_vjp")(function(z), u)  # noqa: E731
    check_grad(function, at, jvp=jvp, vjp=vjp)
    check_grad(function, at, jvp=jvp, seed=3)
    check_grad(function, at, vjp=vjp, n_directions=1)
    with pytest.raises(AssertionError, match="jvp along direction 0 of seed 0"):
        check_grad(function, at, jvp=lambda z, v: jvp(z, v) * (1 + 1e-5))
    with pytest.raises(AssertionError, match="vjp along direction 0 of seed 0"):
        check_grad(function, at, vjp=lambda z, u: vjp(z, u) * (1 + 1e-5))
    with pytest.raises(AssertionError, match=re.escape("<vjp(u), v> and <u, jvp(v)>")):
        check_grad(function, at, jvp=jvp, vjp=lambda z, u: vjp(z, u) * (1 + 1e-8))


@pytest.mark.parametrize("size", [1, 30, 1000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_gradient_that_is_off_by_a_hundred_thousandth_is_caught(size, scale):
    at = rng(size).standard_normal((4, size + 2))
    check_grad(lambda z: scale * loss(z), at, grad=lambda z: scale * grad(z))
    check_grad(lambda z: scale * loss(z), at, grad=scale * grad(at))
    for wrong in (1 + 1e-5, 1 - 1e-5, 1.5, -1.0, 0.0, np.nan):
        with pytest.raises(AssertionError, match="is allowed"):
            check_grad(lambda z: scale * loss(z), at, grad=wrong * scale * grad(at))


def test_one_wrong_element_is_caught():
    at = rng().standard_normal((4, 5))
    for element in np.ndindex(at.shape):
        wrong = grad(at)
        wrong[element] *= 1 + 1e-4
        with pytest.raises(AssertionError, match="grad along direction"):
            check_grad(loss, at, grad=wrong)


def test_a_layer_in_one_pass():
    X, weight = rng().standard_normal((4, 6)), rng(1).standard_normal((3, 6))
    value = lambda w: fs.linear_squared_error(X, w, None, LABELS)  # noqa: E731
    grads = lambda w: fs.linear_squared_error_value_and_grad(X, w, None, LABELS)[1].weight  # noqa: E731
    check_grad(value, weight, grad=grads)
    hvp = lambda w, v: fs.linear_squared_error_hvp(X, w, None, LABELS, v, None).weight  # noqa: E731
    check_grad(grads, weight, jvp=hvp, vjp=hvp)  # a Hessian is symmetric


def test_a_function_may_write_into_what_it_is_given():
    def softmax(logits):
        return fs.softmax(logits, out=logits)

    at = np.zeros((2, 3))
    check_grad(softmax, at, jvp=lambda z, v: fs.softmax_jvp(softmax(z), v, out=v))
    assert not at.any()


def test_arguments():
    with pytest.raises(TypeError, match="one of grad, jvp and vjp must be given"):
        check_grad(loss, np.zeros((4, 3)))
    with pytest.raises(TypeError, match="function must give float64, got float32"):
        check_grad(lambda z: fs.softmax(z.astype(np.float32)), np.zeros((4, 3)), jvp=grad)
    with pytest.raises(ValueError, match=r"grad must have shape \(4, 3\), got \(3,\)"):
        check_grad(loss, np.zeros((4, 3)), grad=np.zeros(3))
    with pytest.raises(ValueError, match="grad is of a function with one result"):
        check_grad(fs.softmax, np.zeros((4, 3)), grad=np.zeros((4, 3)))
    for bad in (np.zeros((0, 3)), [np.inf]):
        with pytest.raises(ValueError, match="x must be finite and not empty"):
            check_grad(loss, bad, grad=grad)
    with pytest.raises(TypeError, match="x must hold real numbers, got complex128"):
        check_grad(loss, np.zeros((4, 3), complex), grad=grad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_directions": 0}, "n_directions must be at least 1, got 0"),
        ({"rtol": np.inf}, "step must be above 0, rtol at least 0, and both finite: got 0.001 and inf"),
        ({"rtol": -1.0}, "got 0.001 and -1.0"),
        ({"step": 0.0}, "got 0.0 and 1e-07"),
        ({"step": np.nan}, "got nan and 1e-07"),
    ],
)
def test_no_check_that_would_tell_nothing(options, message):
    with pytest.raises(ValueError, match=message):
        check_grad(loss, np.zeros((4, 3)), grad=lambda z: 7 * grad(z), **options)
