"""The dense layer and its gradients: where dW and db of a softmax classifier come from."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array, deliver, real_array
from fastsoftmax._threads import run
from fastsoftmax.functional._layer import (
    MULTIPLICATIONS,
    Grads,
    Layer,
    LinearGrads,
    are_plain,
    bias_or_zeros,
    can_take,
    is_plain_of,
)


def dense(X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, out: Array | None = None) -> Array:
    r"""Logits of a dense layer, :math:`Z = X W^T + b`: :math:`z_{nc} = \sum_d X_{nd} W_{cd} + b_c`.

    Parameters
    ----------
    X : array_like or scipy.sparse CSR (n_samples, n_features)
    weight : array_like (n_classes, n_features)
        As scikit-learn's coef_ and torch's Linear.weight.
    bias : array_like (n_classes,), optional
    out : ndarray (n_samples, n_classes), optional
        Takes the result.

    Returns
    -------
    ndarray (n_samples, n_classes)
        In the widest float dtype of the arguments (integers count as float64).

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        Shapes that do not fit; an out that does not fit.

    Notes
    -----
    Each row is computed by itself: its bits do not depend on the rows beside it.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> fs.dense([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.0, 0.0, 10.0])
    array([[ 1.,  2., 13.]])
    """
    if are_plain(X, weight, bias) and (out is None or can_take(out, X, weight, bias)):
        return _of_plain(X, weight, bias_or_zeros(bias, weight), out)  # type: ignore[arg-type]
    layer = Layer(X, weight, bias)
    filled = layer.target("out", out, (layer.n_samples, layer.n_classes))
    for rows, X_here in layer.pieces():
        run(kernels.dense_rows, layer.work, X_here, layer.weight, layer.bias, filled[rows])
    return deliver(filled, layer.dtype, out)


def _of_plain(X: Any, weight: Any, bias: Any, out: Array | None) -> Array:
    filled = np.empty((len(X), len(weight)), X.dtype) if out is None else out
    run(kernels.dense_rows, X.size * len(weight) // MULTIPLICATIONS, X, weight, bias, filled)
    return filled


def dense_vjp(
    X: ArrayLike,
    weight: ArrayLike,
    cotangent: ArrayLike,
    *,
    with_grad_X: bool = True,
    out: LinearGrads | None = None,
) -> tuple[Any, Any, Any]:
    r"""Gradients of a loss with respect to X, weight and bias of `dense`, from its gradient with respect to the logits.

    With :math:`G = \partial L/\partial Z` of shape (n_samples, n_classes):

    * grad_X = G W, :math:`\partial L/\partial X_{nd} = \sum_c G_{nc} W_{cd}`
    * grad_weight = G^T X, :math:`\partial L/\partial W_{cd} = \sum_n G_{nc} X_{nd}`, a sum of outer products
    * grad_bias = :math:`\partial L/\partial b_c = \sum_n G_{nc}`

    Parameters
    ----------
    X : array_like or scipy.sparse CSR (n_samples, n_features)
    weight : array_like (n_classes, n_features)
    cotangent : array_like (n_samples, n_classes)
    with_grad_X : bool, default True
        A first layer has no use for grad_X.
    out : LinearGrads of ndarray or None, optional
        Takes the gradients; of their shapes and dtype. What is None is made.

    Returns
    -------
    grad_X : ndarray (n_samples, n_features), or None
    grad_weight : ndarray (n_classes, n_features)
    grad_bias : ndarray (n_classes,)
        In the widest float dtype of the arguments (integers count as float64).

    Raises
    ------
    TypeError
        An argument that does not hold real numbers.
    ValueError
        Shapes that do not fit; an out that does not fit.

    Notes
    -----
    Sums over the samples go by fixed blocks of rows, folded in a fixed order.

    Examples
    --------
    >>> import fastsoftmax as fs
    >>> grad_X, grad_weight, grad_bias = fs.dense_vjp([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]], [[0.5, -0.5]])
    >>> grad_weight
    array([[ 0.5,  1. ],
           [-0.5, -1. ]])
    """
    if (
        out is None
        and type(with_grad_X) is bool
        and are_plain(X, weight, None)
        and is_plain_of(cotangent, X.dtype, (len(X), len(weight)))  # type: ignore[arg-type,union-attr]
    ):
        return _vjp_of_plain(X, weight, cotangent, with_grad_X)
    given = real_array("cotangent", cotangent)
    layer = Layer(X, weight, None, cotangent=given)
    layer.has_bias = True  # of the layer that the cotangent comes from; its value does not matter
    ready = layer.read("cotangent", given, (layer.n_samples, layer.n_classes))
    grads = Grads(layer, with_grad_X, out)
    for rows, X_here in layer.pieces():
        run(kernels.dense_vjp_rows, layer.work, X_here, layer.weight, ready[rows], *grads.of_rows(rows))
    grad_weight, grad_bias, grad_X = grads.deliver()
    return grad_X, grad_weight, grad_bias


def _vjp_of_plain(X: Any, weight: Any, cotangent: Any, with_grad_X: bool) -> tuple[Any, Array, Array]:
    grad_weight, grad_bias = np.zeros(weight.shape, X.dtype), np.zeros(len(weight), X.dtype)  # kernels add to these
    grad_X = np.empty(X.shape if with_grad_X else (0, 0), X.dtype)
    work = X.size * len(weight) // MULTIPLICATIONS
    run(kernels.dense_vjp_rows, work, X, weight, cotangent, grad_weight, grad_bias, grad_X)
    return grad_X if with_grad_X else None, grad_weight, grad_bias
