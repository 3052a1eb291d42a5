"""A dense layer and its softmax in one pass over X: probabilities, their logarithms, the likeliest class."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array, deliver
from fastsoftmax._gate.numbers import read_temperature
from fastsoftmax._gate.rows import ONE
from fastsoftmax._threads import run
from fastsoftmax.functional._layer import MULTIPLICATIONS, Layer, are_plain, bias_or_zeros, can_take

LOOKS = 8  # numbers are looked at, whether they are finite, in the time of one number of softmax


def linear_softmax(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    temperature: float = ONE,
    out: Array | None = None,
) -> Array:
    r"""Probabilities of a dense layer, :math:`p = \mathrm{softmax}((X W^T + b) / T)` a row, from X in one pass.

    The same bits as ``softmax(dense(X, weight, bias), temperature=temperature)``, but the logits are never held.

    Parameters
    ----------
    X : array_like or scipy.sparse CSR (n_samples, n_features)
        In any layout; what kernels cannot read as it is, is copied a few rows at a time.
    weight : array_like (n_classes, n_features)
        As scikit-learn's coef_ and torch's Linear.weight.
    bias : array_like (n_classes,), optional
    temperature : float, default 1.0
        As in `softmax`.
    out : ndarray (n_samples, n_classes), optional
        Takes the result.

    Returns
    -------
    ndarray (n_samples, n_classes)
        In the widest float dtype of X, weight and bias (integers count as float64).

    Raises
    ------
    TypeError
        An argument that does not hold real numbers; a sparse X that is not CSR.
    ValueError
        Shapes that do not fit; a temperature that is not positive; an out that does not fit.

    Notes
    -----
    Each row is computed by itself: its bits do not depend on the rows beside it, nor on the number of threads.
    float16 is rounded once, at the end. Rows with NaN or infinity are as in `softmax`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.linear_softmax([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [2.0, 1.0, 1.0]).round(3)
    array([[0.212, 0.212, 0.576]])
    """
    return probs_of_layer("linear_softmax", X, weight, bias, temperature, out)


def linear_log_softmax(
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    temperature: float = ONE,
    out: Array | None = None,
) -> Array:
    r"""Log-probabilities of a dense layer, :math:`\log \mathrm{softmax}((X W^T + b) / T)` a row, from X in one pass.

    Parameters
    ----------
    X, weight, bias, temperature, out : as in `linear_softmax`

    Returns
    -------
    ndarray (n_samples, n_classes)
        `out`, or a new array in the dtype that `linear_softmax` gives.

    Raises
    ------
    TypeError, ValueError
        As `linear_softmax`.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.linear_log_softmax([[1.0]], [[1e4], [0.0]])
    array([[     0., -10000.]])
    """
    return probs_of_layer("linear_log_softmax", X, weight, bias, temperature, out)


def linear_argmax(X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    r"""The likeliest class of each row, :math:`\arg\max_c (X W^T + b)_{nc}`, without the logits of all rows in memory.

    Parameters
    ----------
    X : array_like or scipy.sparse CSR (n_samples, n_features)
    weight : array_like (n_classes, n_features)
    bias : array_like (n_classes,), optional

    Returns
    -------
    ndarray of int64 (n_samples,)
        The first of several largest logits, or the first that is NaN, as np.argmax gives them.

    Raises
    ------
    TypeError
        An argument that does not hold real numbers; a sparse X that is not CSR.
    ValueError
        Shapes that do not fit; no classes.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.linear_argmax([[1.0, 2.0], [3.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    array([1, 0])
    """
    return labels_of_layer(X, weight, bias)[0]


def labels_of_layer(X: Any, weight: Any, bias: Any) -> tuple[Array, bool]:
    """linear_argmax, and whether the largest logit of each row is finite."""
    if are_plain(X, weight, bias):
        labels, work = np.empty(len(X), np.int64), X.size * len(weight) // MULTIPLICATIONS
        run(kernels.linear_argmax_rows, work, X, weight, bias_or_zeros(bias, weight), labels)
    else:
        layer = Layer(X, weight, bias)
        if not layer.n_classes:
            raise ValueError("weight must have at least one row, a class, got none")
        labels = np.empty(layer.n_samples, np.int64)
        for rows, X_here in layer.pieces():
            run(kernels.linear_argmax_rows, layer.work, X_here, layer.weight, layer.bias, labels[rows])
    is_finite = bool(labels.min(initial=0) >= 0)
    return labels if is_finite else np.where(labels < 0, ~labels, labels), is_finite


def probs_of_layer(
    name: str,
    X: Any,
    weight: Any,
    bias: Any,
    temperature: float = ONE,
    out: Array | None = None,
    n_pinned: int = 0,
) -> Array:
    """linear_softmax or linear_log_softmax, by name; of n_pinned = 1 more class, the first, the logits are 0."""
    kernel = KERNELS[name]
    if are_plain(X, weight, bias) and (out is None or can_take(out, X, weight, bias)):
        filled = np.empty((len(X), len(weight) + n_pinned), X.dtype) if out is None else out
        scalar = read_temperature(temperature, X.dtype) or X.dtype.type(1)
        work = X.size * len(weight) // MULTIPLICATIONS + filled.size
        run(kernel, work, X, weight, bias_or_zeros(bias, weight), scalar, filled)
        return filled
    layer = Layer(X, weight, bias)
    scalar = read_temperature(temperature, layer.compute) or layer.compute.type(1)
    filled = layer.target("out", out, (layer.n_samples, layer.n_classes + n_pinned))
    if filled.size:
        for rows, X_here in layer.pieces():
            run(kernel, layer.work + filled.size, X_here, layer.weight, layer.bias, scalar, filled[rows])
    return deliver(filled, layer.dtype, out)


def is_finite(array: Array) -> bool:
    """Whether all numbers of a C-contiguous matrix are finite."""
    return bool(run(kernels.all_finite, array.size // LOOKS, array))


KERNELS: dict[str, Callable[..., None]] = {
    "linear_softmax": kernels.linear_softmax_rows,
    "linear_log_softmax": kernels.linear_log_softmax_rows,
}
