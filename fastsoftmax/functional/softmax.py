"""softmax, log_softmax and logsumexp along any axis.

logits -> Rows (a matrix whose rows run along the axis, or blocks whose columns do) -> _threads -> kernel -> the shape,
dtype and out of the caller; arrays that need no preparation go straight to kernels/rows/direct.py
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._gate.numbers import read_flag, read_temperature
from fastsoftmax._gate.plain import is_plain
from fastsoftmax._gate.rows import LAST, ONE, Axis, Rows
from fastsoftmax._threads import run, run_with_team
from fastsoftmax.functional._halves import of_halves
from fastsoftmax.kernels.jit.entries import LARGE
from fastsoftmax.kernels.rows import direct, half_rows


def softmax(
    logits: ArrayLike,
    axis: Axis = LAST,
    *,
    temperature: float = ONE,
    where: ArrayLike | None = None,
    out: Array | None = None,
) -> Any:
    r"""Probabilities, :math:`p_i = \exp(z_i / T) / \sum_k \exp(z_k / T)`.

    Parameters
    ----------
    logits : array_like, any shape
        float16, float32 or float64; integers and bool are computed in float64.
    axis : int, tuple of int or None, default -1
        What sums to one: one axis, several together, or (None) all.
    temperature : float, default 1.0
        Above 1 evens the probabilities out, below 1 sharpens them.
    where : array_like of bool, optional
        Broadcast to logits. Elements where it is False are left out, and get 0; a row with none left is all 0.
    out : ndarray, optional
        Takes the result; of logits' shape and the result's dtype. May be logits itself.

    Returns
    -------
    ndarray
        `out`, or a new array of logits' shape and dtype (float64 for integers).

    Raises
    ------
    TypeError
        logits or where of another kind of dtype.
    ValueError
        A temperature that is not positive; where or out that does not fit.

    Notes
    -----
    The maximum is taken off first, so nothing overflows; the relative error of a probability is at most
    :math:`(|z - \max z| + 8)\,\epsilon`. A row with NaN or +inf, or of -inf alone, is NaN, as in SciPy, torch and JAX.
    Formula: Bridle (1990), "Probabilistic interpretation of feedforward classification network outputs".

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.softmax([[1e4, 0.0, -1e4], [1.0, 1.0, 2.0]]).round(3)
    array([[1.   , 0.   , 0.   ],
           [0.212, 0.212, 0.576]])
    """
    if temperature is ONE and where is None:
        done = direct.softmax.call(logits, out, axis)
        if done is LARGE:
            done = run_with_team(direct.softmax.call, logits, out, axis)
        elif done is None:
            done = of_halves(half_rows.SOFTMAX, (logits,), axis, out)
        if done is not None:
            return done
    return _softmax_like("softmax", logits, axis, temperature, where, out)


def log_softmax(
    logits: ArrayLike,
    axis: Axis = LAST,
    *,
    temperature: float = ONE,
    where: ArrayLike | None = None,
    out: Array | None = None,
) -> Any:
    r"""Log-probabilities, :math:`\log p_i = z_i / T - \log \sum_k \exp(z_k / T)`, right where p itself is 0.

    Parameters
    ----------
    logits, axis, temperature, where, out : as in `softmax`
        What `where` leaves out gets -inf.

    Returns
    -------
    ndarray
        `out`, or a new array of logits' shape and dtype (float64 for integers).

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.log_softmax([1e4, 0.0])
    array([     0., -10000.])
    """
    if temperature is ONE and where is None:
        done = direct.log_softmax.call(logits, out, axis)
        if done is LARGE:
            done = run_with_team(direct.log_softmax.call, logits, out, axis)
        elif done is None:
            done = of_halves(half_rows.LOG_SOFTMAX, (logits,), axis, out)
        if done is not None:
            return done
    return _softmax_like("log_softmax", logits, axis, temperature, where, out)


def logsumexp(logits: ArrayLike, axis: Axis = LAST, *, keepdims: bool = False, where: ArrayLike | None = None) -> Any:
    r""":math:`\log \sum_k \exp(z_k)`, without overflow.

    Parameters
    ----------
    logits : array_like, any shape
        float16, float32 or float64; integers and bool are computed in float64.
    axis : int, tuple of int or None, default -1
        What to sum over.
    keepdims : bool, default False
        Keep the axes that were summed over, with length 1.
    where : array_like of bool, optional
        Broadcast to logits; elements where it is False are left out.

    Returns
    -------
    ndarray or scalar
        -inf for a sum over nothing, +inf where a logit is, NaN where one is.

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    Notes
    -----
    Terms at the maximum are counted and the others go through log1p, so ``logsumexp([0, -40])`` is 4.2e-18 and not 0.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> float(fs.logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    if axis is LAST and where is None and keepdims is False and is_plain(logits):
        plain: Array = logits  # type: ignore[assignment]
        values = np.empty(len(plain), plain.dtype)
        run(kernels.logsumexp_rows, plain.size, plain, values)
        return values
    keeps = bool(keepdims) if isinstance(keepdims, int) else read_flag("keepdims", keepdims)  # NumPy takes 1, too
    rows = Rows(axis, logits=logits)
    mask = rows.mask(where)
    values, read = np.empty(rows.n_rows, rows.compute), rows.inputs[0]
    if mask is not None:
        read = np.empty_like(read)
        _hide(rows.inputs[0], mask, -np.inf, read)
    run(_kernel("logsumexp", rows), read.size, read, values)
    return rows.deliver_reduced(values, keeps)


def _softmax_like(
    name: str,
    logits: ArrayLike,
    axis: Axis,
    temperature: float,
    where: ArrayLike | None,
    out: Array | None,
) -> Any:
    rows = Rows(axis, logits=logits)
    scalar = read_temperature(temperature, rows.compute)
    mask = rows.mask(where)
    filled = rows.target(out)
    if mask is None:
        run(_kernel(name, rows), filled.size, rows.inputs[0], scalar, filled)
    else:
        _hide(rows.inputs[0], mask, -np.inf, filled)
        run(_kernel(name, rows), filled.size, filled, scalar, filled)
        _hide(filled, mask, 0.0 if name == "softmax" else -np.inf, filled)
    return rows.deliver(filled, out)


def _hide(x: Array, mask: Array, value: float, out: Array) -> None:
    """X where the mask holds, else the value, into out."""
    run(kernels.hide, x.size, x.ravel(), mask.ravel(), value, out.ravel())


def _kernel(name: str, rows: Rows) -> Callable[..., None]:
    by_rows, by_columns = KERNELS[name]
    return by_rows if rows.along == "rows" else by_columns


# Of each operation, for an axis that is the last, and for another one
KERNELS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "softmax": (kernels.softmax_rows, kernels.softmax_columns),
    "log_softmax": (kernels.log_softmax_rows, kernels.log_softmax_columns),
    "logsumexp": (kernels.logsumexp_rows, kernels.logsumexp_columns),
}
