"""What tests of gradients need: `check_grad`, for functions of fastsoftmax or anybody's. NumPy alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_ADJOINT = 1e-10  # how much <u, J v> and <J^T u, v> may differ, of the sum of their terms' sizes: both maps are exact


def check_grad(
    function: Callable[[Array], Any],
    x: ArrayLike,
    *,
    grad: ArrayLike | Callable[[Array], Any] | None = None,
    jvp: Callable[[Array, Array], Any] | None = None,
    vjp: Callable[[Array, Array], Any] | None = None,
    n_directions: int = 3,
    step: float = 1e-3,
    rtol: float = 1e-7,
    seed: int = 0,
) -> None:
    r"""Check derivatives of a function at x against differences of its values, along random directions.

    Parameters
    ----------
    function : callable
        x -> float or ndarray of float64; smooth within two steps of x.
    x : array_like
        Finite; taken as float64.
    grad : array_like or callable, optional
        Gradient of a function that gives one number: of x's shape, or x -> that.
    jvp : callable, optional
        (x, v) -> J v, of the shape of the function's result; :math:`J_{ij} = \partial f_i/\partial x_j`.
    vjp : callable, optional
        (x, u) -> :math:`J^T u`, of x's shape.
    n_directions : int, default 3
        How many random directions v (and cotangents u), of standard normal numbers, are tried.
    step : float, default 1e-3
        h below. Small beside the distance over which the function changes its course.
    rtol : float, default 1e-7
        How large an error may be beside the derivative.
    seed : int, default 0
        Of the directions.

    Raises
    ------
    AssertionError
        A derivative is wrong. Says which, along which direction, both values, the error and what was allowed.
    TypeError
        No derivative is given, or the function does not compute in float64.
    ValueError
        x is not finite or empty; a number out of its range, or no direction; grad is given for a function of more than
        one result; a result of another shape.

    Notes
    -----
    Differences are central and of fourth order:

    .. math:: \partial_v f \approx [8 (f(x + hv) - f(x - hv)) - (f(x + 2hv) - f(x - 2hv))] / 12h

    with an error of :math:`h^4 |\partial_v^5 f| / 30`, and of rounding, :math:`\epsilon |f| / h`, which is allowed for.
    A gradient is judged by :math:`\langle g, v\rangle`, beside the root of :math:`\sum_i (g_i v_i)^2`; a vjp by
    :math:`\langle J^T u, v\rangle = \langle u, J v\rangle` against differences, and to ten digits against the jvp.

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> logits, targets = np.array([[2.0, 0.0, 1.0], [0.5, 0.0, -1.0]]), np.array([0, 2])
    >>> loss, grad_logits = fs.cross_entropy_value_and_grad(logits, targets)
    >>> fs.testing.check_grad(lambda z: fs.cross_entropy(z, targets), logits, grad=grad_logits)
    >>> fs.testing.check_grad(
    ...     fs.softmax,
    ...     logits,
    ...     jvp=lambda z, v: fs.softmax_jvp(fs.softmax(z), v),
    ...     vjp=lambda z, u: fs.softmax_vjp(fs.softmax(z), u),
    ... )
    """
    if grad is None and jvp is None and vjp is None:
        raise TypeError("one of grad, jvp and vjp must be given")
    if n_directions < 1:
        raise ValueError(f"n_directions must be at least 1, got {n_directions}")
    if not (0 < step < np.inf and 0 <= rtol < np.inf):
        raise ValueError(f"step must be above 0, rtol at least 0, and both finite: got {step} and {rtol}")
    at = _point(x)
    value = _result("function", function(at.copy()), None)
    gradient = None
    if grad is not None:
        if value.size != 1:
            raise ValueError(
                f"grad is of a function with one result, this one has shape {value.shape}: give jvp or vjp"
            )
        gradient = _result("grad", grad(at.copy()) if callable(grad) else grad, at.shape)
    random = np.random.default_rng(seed)
    for number in range(n_directions):
        v, u = random.standard_normal(at.shape), random.standard_normal(value.shape)
        slope, noise = _derivative(function, at, v, step)
        where = f"along direction {number} of seed {seed}"
        if gradient is not None:
            terms, allowed = gradient * v, noise.sum()
            scale = max(np.sqrt((terms**2).sum()), float(np.abs(slope).sum()))
            _compare(f"grad {where}", terms.sum(), slope.sum(), allowed + rtol * scale)
        product = None if jvp is None else _result("jvp", jvp(at.copy(), v.copy()), value.shape)
        if product is not None:
            _compare(f"jvp {where}", product, slope, noise + rtol * float(np.abs(slope).max(initial=0)))
        if vjp is not None:
            terms = _result("vjp", vjp(at.copy(), u.copy()), at.shape) * v
            scale = max(float(np.sqrt((terms**2).sum())), float(np.sqrt(((u * slope) ** 2).sum())))
            _compare(f"vjp {where}", terms.sum(), (u * slope).sum(), (np.abs(u) * noise).sum() + rtol * scale)
            if product is not None:
                allowed = _ADJOINT * (np.abs(terms).sum() + np.abs(u * product).sum())
                _compare(f"<vjp(u), v> and <u, jvp(v)> {where}", terms.sum(), (u * product).sum(), allowed)


def _point(x: ArrayLike) -> Array:
    given = np.asarray(x)
    if given.dtype.kind not in "fiub":
        raise TypeError(f"x must hold real numbers, got {given.dtype}")
    at = given.astype(np.float64)
    if not at.size or not np.isfinite(at).all():
        raise ValueError("x must be finite and not empty")
    return at


def _derivative(function: Callable[[Array], Any], x: Array, v: Array, h: float) -> tuple[Array, Array]:
    """The derivative along v by differences, and how much of it may be rounding."""
    values = [_result("function", function(x + k * h * v), None) for k in (1, -1, 2, -2)]
    noise = 16 * np.finfo(np.float64).eps * np.max(np.abs(values), axis=0) / h
    return (8 * (values[0] - values[1]) - (values[2] - values[3])) / (12 * h), noise


def _result(name: str, value: Any, shape: tuple[int, ...] | None) -> Array:
    array = np.asarray(value)
    if array.dtype != np.float64:
        raise TypeError(f"{name} must give float64, got {array.dtype}")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def _compare(what: str, got: Any, want: Any, allowed: Any) -> None:
    got, want, allowed = np.broadcast_arrays(got, want, allowed)
    error = np.abs(got - want)
    wrong = ~(error <= allowed)  # NaN is wrong
    if wrong.any():
        at = np.unravel_index(int(np.argmax(np.where(wrong, error - allowed, -np.inf))), wrong.shape)
        place = f" at {tuple(map(int, at))}" if at else ""
        raise AssertionError(
            f"{what}{place}: {got[at]:.15g}, but {want[at]:.15g} is right: "
            f"an error of {error[at]:.3g}, where {allowed[at]:.3g} is allowed"
        )
