"""The Jacobians of softmax and log_softmax times a tangent or a cotangent, along any axis: none of them is built.

Data go as they do in softmax.py.
"""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._gate.rows import LAST, Axis, Rows
from fastsoftmax._threads import run, run_with_team
from fastsoftmax.functional._halves import of_halves
from fastsoftmax.kernels.jit.entries import LARGE
from fastsoftmax.kernels.jit.whole_calls import WholeCall
from fastsoftmax.kernels.rows import direct, half_rows


def softmax_jvp(probs: ArrayLike, tangent: ArrayLike, axis: Axis = LAST, *, out: Array | None = None) -> Any:
    r"""J v, for the Jacobian of softmax :math:`J_{ij} = p_i (\delta_{ij} - p_j)`, without building J.

    :math:`(J v)_i = p_i (v_i - \sum_k p_k v_k)`: how the probabilities move when the logits move along v.

    Parameters
    ----------
    probs : array_like, any shape
        What `softmax` returned.
    tangent : array_like, the shape of probs
        v, a direction in the space of the logits.
    axis : int, tuple of int or None, default -1
        The axis that softmax was taken along.
    out : ndarray, optional
        Takes the result; may be probs or tangent itself.

    Returns
    -------
    ndarray
        Of probs' shape, in the wider dtype of the two.

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        Shapes that differ; an out that does not fit.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.softmax_jvp([0.5, 0.25, 0.25], [1.0, 0.0, 0.0])
    array([ 0.25 , -0.125, -0.125])
    """
    if (done := _plain_product(direct.softmax_jvp, half_rows.SOFTMAX_JVP, probs, tangent, out, axis)) is not None:
        return done
    rows = Rows(axis, probs=probs, tangent=tangent)
    return _product(rows, out, kernels.softmax_jvp_rows, kernels.softmax_jvp_columns)


def softmax_vjp(probs: ArrayLike, cotangent: ArrayLike, axis: Axis = LAST, *, out: Array | None = None) -> Any:
    r"""J^T u: the gradient of a loss with respect to the logits, from its gradient with respect to the probabilities.

    :math:`\partial L/\partial z_j = p_j (u_j - \sum_k p_k u_k)` with :math:`u = \partial L/\partial p`. J is symmetric,
    so this is the same map as `softmax_jvp`.

    Parameters
    ----------
    probs, cotangent, axis, out : as in `softmax_jvp`
        cotangent, u, has the place of tangent.

    Returns
    -------
    ndarray
        Of probs' shape, in the wider dtype of the two; `out` if it is given.

    Raises
    ------
    TypeError, ValueError
        As `softmax_jvp`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.softmax_vjp([0.5, 0.25, 0.25], [-2.0, 0.0, 0.0])  # -log p_0: the gradient is p - y
    array([-0.5 ,  0.25,  0.25])
    """
    if (done := _plain_product(direct.softmax_jvp, half_rows.SOFTMAX_JVP, probs, cotangent, out, axis)) is not None:
        return done
    rows = Rows(axis, probs=probs, cotangent=cotangent)
    return _product(rows, out, kernels.softmax_vjp_rows, kernels.softmax_vjp_columns)


def log_softmax_jvp(log_probs: ArrayLike, tangent: ArrayLike, axis: Axis = LAST, *, out: Array | None = None) -> Any:
    r"""J v for log_softmax: :math:`(J v)_i = v_i - \sum_k p_k v_k`, with p = exp(log_probs).

    Parameters
    ----------
    log_probs, tangent, axis, out : as in `softmax_jvp`
        log_probs, what `log_softmax` returned, has the place of probs.

    Returns
    -------
    ndarray
        Of log_probs' shape, in the wider dtype of the two; `out` if it is given.

    Raises
    ------
    TypeError, ValueError
        As `softmax_jvp`.

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> fs.log_softmax_jvp(np.log([0.5, 0.5]), [1.0, 0.0])
    array([ 0.5, -0.5])
    """
    if (
        done := _plain_product(direct.log_softmax_jvp, half_rows.LOG_SOFTMAX_JVP, log_probs, tangent, out, axis)
    ) is not None:
        return done
    rows = Rows(axis, log_probs=log_probs, tangent=tangent)
    return _product(rows, out, kernels.log_softmax_jvp_rows, kernels.log_softmax_jvp_columns)


def log_softmax_vjp(log_probs: ArrayLike, cotangent: ArrayLike, axis: Axis = LAST, *, out: Array | None = None) -> Any:
    r"""J^T u for log_softmax: :math:`\partial L/\partial z_j = u_j - p_j \sum_k u_k`, with p = exp(log_probs).

    Parameters
    ----------
    log_probs, cotangent, axis, out : as in `softmax_jvp`
        log_probs, what `log_softmax` returned, has the place of probs, and cotangent that of tangent: 0 for an element
        that `where` left out.

    Returns
    -------
    ndarray
        Of log_probs' shape, in the wider dtype of the two; `out` if it is given.

    Raises
    ------
    TypeError, ValueError
        As `softmax_jvp`.

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> fs.log_softmax_vjp(np.log([0.5, 0.25, 0.25]), [-1.0, 0.0, 0.0])  # -log p_0: the gradient is p - y
    array([-0.5 ,  0.25,  0.25])
    """
    if (
        done := _plain_product(direct.log_softmax_vjp, half_rows.LOG_SOFTMAX_VJP, log_probs, cotangent, out, axis)
    ) is not None:
        return done
    rows = Rows(axis, log_probs=log_probs, cotangent=cotangent)
    return _product(rows, out, kernels.log_softmax_vjp_rows, kernels.log_softmax_vjp_columns)


def _plain_product(whole: WholeCall, which: int, at: Any, vector: Any, out: Any, axis: Any) -> Any:
    """The product by one of direct.py, or of half_rows.py, or None where it is not for these arguments."""
    done = whole.call(at, vector, out, axis)
    if done is None:
        return of_halves(which, (at, vector), axis, out)
    return run_with_team(whole.call, at, vector, out, axis) if done is LARGE else done


def _product(rows: Rows, out: Array | None, by_rows: Callable[..., None], by_columns: Callable[..., None]) -> Any:
    filled = rows.target(out)
    run(by_rows if rows.along == "rows" else by_columns, filled.size, *rows.inputs, filled)
    return rows.deliver(filled, out)
