"""The dense layer and its gradients: where dW and db of a softmax classifier come from."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._arrays import (
    Array,
    answer_dtypes,
    check_out,
    check_shape,
    contiguous,
    deliver,
    kernel_target,
    real_array,
)


def dense(X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, out: Array | None = None) -> Array:
    r"""Logits of a dense layer, :math:`Z = X W^T + b`: :math:`z_{nc} = \sum_d X_{nd} W_{cd} + b_c`.

    Parameters
    ----------
    X : array_like (n_samples, n_features)
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
    arrays = _matrices(X=X, weight=weight)
    if bias is not None:
        arrays["bias"] = real_array("bias", bias)
        check_shape("bias", arrays["bias"], (len(arrays["weight"]),))
    dtype, ready = _ready(arrays)
    shape = (len(ready["X"]), len(ready["weight"]))
    check_out(out, shape, dtype, arrays)
    apart = out is not None and not any(np.may_share_memory(out, array) for array in arrays.values())
    filled = kernel_target(out if apart else None, shape, ready["X"].dtype)
    kernels.dense_rows(ready["X"], ready["weight"], ready.get("bias"), filled)
    return deliver(filled, dtype, out)


def dense_vjp(
    X: ArrayLike, weight: ArrayLike, cotangent: ArrayLike, *, with_grad_X: bool = True
) -> tuple[Array | None, Array, Array]:
    r"""Gradients of a loss with respect to X, weight and bias of `dense`, from its gradient with respect to the logits.

    With :math:`G = \partial L/\partial Z` of shape (n_samples, n_classes):

    * grad_X = G W, :math:`\partial L/\partial X_{nd} = \sum_c G_{nc} W_{cd}`
    * grad_weight = G^T X, :math:`\partial L/\partial W_{cd} = \sum_n G_{nc} X_{nd}`, a sum of outer products
    * grad_bias = :math:`\partial L/\partial b_c = \sum_n G_{nc}`

    Parameters
    ----------
    X : array_like (n_samples, n_features)
    weight : array_like (n_classes, n_features)
    cotangent : array_like (n_samples, n_classes)
    with_grad_X : bool, default True
        A first layer has no use for grad_X.

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
        Shapes that do not fit.

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
    arrays = _matrices(X=X, weight=weight)
    arrays["cotangent"] = real_array("cotangent", cotangent)
    check_shape("cotangent", arrays["cotangent"], (len(arrays["X"]), len(arrays["weight"])))
    dtype, ready = _ready(arrays)
    grad_X = None
    if with_grad_X:
        grad_X = np.empty_like(ready["X"])
        kernels.dense_grad_X_rows(ready["cotangent"], ready["weight"], grad_X)
        grad_X = deliver(grad_X, dtype)
    grad_weight = np.empty_like(ready["weight"])
    grad_bias = np.empty(len(grad_weight), grad_weight.dtype)
    kernels.dense_grad_weight_rows(ready["X"], ready["cotangent"], grad_weight)
    kernels.dense_grad_bias_rows(ready["cotangent"], grad_bias)
    return grad_X, deliver(grad_weight, dtype), deliver(grad_bias, dtype)


def _matrices(X: ArrayLike, weight: ArrayLike) -> dict[str, Array]:
    arrays = {"X": real_array("X", X), "weight": real_array("weight", weight)}
    if arrays["weight"].ndim != 2:
        raise ValueError(f"weight must have shape (n_classes, n_features), got {arrays['weight'].shape}")
    fitting = f"(n_samples, {arrays['weight'].shape[1]})"
    if arrays["X"].ndim != 2 or arrays["X"].shape[1] != arrays["weight"].shape[1]:
        reason = f"because weight has shape {arrays['weight'].shape}"
        raise ValueError(f"X must have shape {fitting}, {reason}, got {arrays['X'].shape}")
    return arrays


def _ready(arrays: dict[str, Array]) -> tuple[np.dtype[Any], dict[str, Array]]:
    """The dtype of the answer, and the arrays as kernels take them."""
    dtype, compute = answer_dtypes(*[array.dtype for array in arrays.values()])
    return dtype, {name: contiguous(array, compute) for name, array in arrays.items()}
