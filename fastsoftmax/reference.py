"""The same functions in plain NumPy, with the full Jacobian: slow, readable, what the fast ones are checked against.

Every derivative here is the chain rule carried out as it is taught, with the matrices built:

    J_ij = dp_i/dz_j = p_i (delta_ij - p_j)              softmax_jacobian, (..., C, C)
    dL/dz_j = sum_i dL/dp_i J_ij                         a row of C numbers times a matrix of C x C

Arguments mean what they mean in `fastsoftmax`; there is no out=, checks are few, and a sparse X is made dense.

>>> import numpy as np, fastsoftmax as fs
>>> probs, cotangent = np.array([0.7, 0.2, 0.1]), np.array([1.0, 0.0, 2.0])
>>> fs.reference.softmax_jacobian(probs).round(2)
array([[ 0.21, -0.14, -0.07],
       [-0.14,  0.16, -0.02],
       [-0.07, -0.02,  0.09]])
>>> bool(np.allclose(fs.reference.softmax_vjp(probs, cotangent), fs.softmax_vjp(probs, cotangent)))
True

A loss by the same Jacobian, and the layer before it by `dense_vjp`:

>>> X, labels, weight = np.array([[1.0, 2.0], [3.0, -1.0]]), np.array([2, 0]), np.zeros((3, 2))
>>> loss, grads = fs.reference.linear_cross_entropy_value_and_grad(X, weight, None, labels)
>>> float(loss.round(4)), grads.weight.round(2)  # log 3
(1.0986, array([[-0.83,  0.67],
       [ 0.67,  0.17],
       [ 0.17, -0.83]]))
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Axis = int | tuple[int, ...] | None


class LinearGrads(NamedTuple):
    """Derivatives with respect to weight (C, D), bias (C,) and X (N, D); None for what was not asked for."""

    weight: Array
    bias: Array | None
    X: Array | None


def softmax(logits: ArrayLike, axis: Axis = -1, *, temperature: float = 1.0, where: ArrayLike | None = None) -> Array:
    """p_i = exp(z_i / T) / sum_k exp(z_k / T), the maximum taken off first.

    >>> softmax([0.0, np.log(3)]).round(4)
    array([0.25, 0.75])
    """
    logits = _visible(logits, where)
    with np.errstate(all="ignore"):
        e = np.exp(_distance(logits, axis, temperature))
        probs = (e / e.sum(axis=axis, keepdims=True)).astype(logits.dtype)
    return probs if where is None else np.where(where, probs, 0).astype(probs.dtype)


def _distance(logits: Array, axis: Axis, temperature: float) -> Array:
    """(z - max z) / T, by halves above T = 1, where z - max z may be too large a number though the quotient is none."""
    half = 0.5 if temperature > 1 else 1.0
    logits = logits.astype(np.float32) if logits.dtype == np.float16 else logits
    return (logits * half - _max(logits, axis) * half) / (temperature * half)


def log_softmax(
    logits: ArrayLike, axis: Axis = -1, *, temperature: float = 1.0, where: ArrayLike | None = None
) -> Array:
    """Log p_i = z_i / T - log sum_k exp(z_k / T).

    >>> log_softmax([0.0, 0.0]).round(4)
    array([-0.6931, -0.6931])
    """
    logits = _visible(logits, where)
    with np.errstate(all="ignore"):
        shifted = _distance(logits, axis, temperature)
        log_probs = (shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))).astype(logits.dtype)
    return log_probs if where is None else np.where(where, log_probs, -np.inf).astype(log_probs.dtype)


def logsumexp(logits: ArrayLike, axis: Axis = -1, *, keepdims: bool = False, where: ArrayLike | None = None) -> Array:
    """Log sum_k exp(z_k).

    >>> float(logsumexp([0.0, 0.0]).round(4))
    0.6931
    """
    logits = _visible(logits, where)
    top = _max(logits, axis)
    shift = np.where(np.isfinite(top), top, 0).astype(top.dtype)  # an infinite maximum is the answer without a shift
    with np.errstate(all="ignore"):
        result = shift + np.log(np.exp(logits - shift).sum(axis=axis, keepdims=True))
    return result if keepdims else result.squeeze(axis)


def softmax_jacobian(probs: ArrayLike) -> Array:
    """J_ij = p_i (delta_ij - p_j) along the last axis: probs (..., C) -> (..., C, C).

    >>> softmax_jacobian([0.5, 0.5])
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    probs = _float(probs)
    jacobian = -probs[..., :, None] * probs[..., None, :]
    every = np.arange(probs.shape[-1])
    jacobian[..., every, every] += probs
    return jacobian


def log_softmax_jacobian(log_probs: ArrayLike) -> Array:
    """d(log p_i)/dz_j = delta_ij - p_j along the last axis: log_probs (..., C) -> (..., C, C).

    >>> log_softmax_jacobian(np.log([0.5, 0.5])).round(4)
    array([[ 0.5, -0.5],
           [-0.5,  0.5]])
    """
    probs = np.exp(_float(log_probs))
    identity = np.eye(probs.shape[-1], dtype=probs.dtype)
    return identity - np.broadcast_to(probs[..., None, :], (*probs.shape, probs.shape[-1]))


def softmax_jvp(probs: ArrayLike, tangent: ArrayLike, axis: int = -1) -> Array:
    """J v: (C, C) times (C,), for each row.

    >>> softmax_jvp([0.5, 0.5], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    return _along(axis, lambda p, v: (softmax_jacobian(p) @ v[..., None])[..., 0], probs, tangent)


def softmax_vjp(probs: ArrayLike, cotangent: ArrayLike, axis: int = -1) -> Array:
    """u^T J: (C,) times (C, C), for each row.

    >>> softmax_vjp([0.5, 0.5], [1.0, 0.0])
    array([ 0.25, -0.25])
    """
    return _along(axis, lambda p, u: (u[..., None, :] @ softmax_jacobian(p))[..., 0, :], probs, cotangent)


def log_softmax_jvp(log_probs: ArrayLike, tangent: ArrayLike, axis: int = -1) -> Array:
    """J v with the Jacobian of log_softmax.

    >>> log_softmax_jvp(np.log([0.5, 0.5]), [1.0, 0.0]).round(4)
    array([ 0.5, -0.5])
    """
    return _along(axis, lambda lp, v: (log_softmax_jacobian(lp) @ v[..., None])[..., 0], log_probs, tangent)


def log_softmax_vjp(log_probs: ArrayLike, cotangent: ArrayLike, axis: int = -1) -> Array:
    """u^T J with the Jacobian of log_softmax.

    >>> log_softmax_vjp(np.log([0.25, 0.75]), [1.0, 0.0]).round(4)
    array([ 0.75, -0.75])
    """
    return _along(axis, lambda lp, u: (u[..., None, :] @ log_softmax_jacobian(lp))[..., 0, :], log_probs, cotangent)


def one_hot(targets: ArrayLike, n_classes: int, dtype: Any = np.float64) -> Array:
    """Labels (...) as distributions (..., n_classes).

    >>> one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    return (np.asarray(targets)[..., None] == np.arange(n_classes)).astype(dtype)


def cross_entropy(logits: ArrayLike, targets: ArrayLike, **options: Any) -> Any:
    """Mean over the rows of -sum_c t_c log p_c; options: see fastsoftmax.cross_entropy.

    >>> float(cross_entropy([[0.0, 0.0]], [1]).round(4))
    0.6931
    """
    logits = _float(logits)
    t, weight, scale, reduced = _prepare(logits, targets, True, **options)
    return _reduce(_cross_entropy_by_row(log_softmax(logits), t), weight, scale, reduced)


def cross_entropy_value_and_grad(logits: ArrayLike, targets: ArrayLike, **options: Any) -> tuple[Any, Array]:
    """The loss, and dL/dp times the Jacobian. Where p underflows to 0, this way back has nothing left to go by.

    >>> cross_entropy_value_and_grad([[0.0, 0.0]], [1])[1].round(4)
    array([[ 0.5, -0.5]])
    """
    logits = _float(logits)
    probs = np.exp(log_softmax(logits))
    grad_logits = softmax_vjp(probs, grad_probs("cross_entropy", probs, targets, **options))
    return cross_entropy(logits, targets, **options), grad_logits


def squared_error(logits: ArrayLike, targets: ArrayLike, **options: Any) -> Any:
    """Mean over the rows of sum_c (p_c - t_c)^2; options: see fastsoftmax.squared_error.

    >>> float(squared_error([[0.0, 0.0]], [1]))
    0.5
    """
    logits = _float(logits)
    t, weight, scale, reduced = _prepare(logits, targets, False, **options)
    return _reduce(((softmax(logits) - t) ** 2).sum(axis=-1), weight, scale, reduced)


def squared_error_value_and_grad(logits: ArrayLike, targets: ArrayLike, **options: Any) -> tuple[Any, Array]:
    """The loss, and dL/dp times the Jacobian.

    >>> squared_error_value_and_grad([[0.0, 0.0]], [1])[1].round(4)
    array([[ 0.5, -0.5]])
    """
    logits = _float(logits)
    probs = softmax(logits)
    grad_logits = softmax_vjp(probs, grad_probs("squared_error", probs, targets, **options))
    return squared_error(logits, targets, **options), grad_logits


def grad_probs(loss: str, probs: Array, targets: ArrayLike, **options: Any) -> Array:
    """dL/dp of "cross_entropy" or "squared_error", weights and reduction included; options as for the losses.

    >>> grad_probs("cross_entropy", np.array([[0.25, 0.75]]), [0])
    array([[-4., -0.]])
    """
    t, weight, scale, _ = _prepare(probs, targets, loss == "cross_entropy", **options)
    by_row = cross_entropy_grad_probs(probs, t) if loss == "cross_entropy" else squared_error_grad_probs(probs, t)
    return _weigh(by_row * scale, weight)


def cross_entropy_grad_probs(probs: Array, targets: Array) -> Array:
    """dL/dp_c = -t_c / p_c of one row's loss; p is kept from 0.

    >>> cross_entropy_grad_probs(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([-4., -0.])
    """
    return -targets / np.maximum(probs, np.finfo(probs.dtype).tiny)


def squared_error_grad_probs(probs: Array, targets: Array) -> Array:
    """dL/dp_c = 2 (p_c - t_c) of one row's loss.

    >>> squared_error_grad_probs(np.array([0.25, 0.75]), np.array([1.0, 0.0]))
    array([-1.5,  1.5])
    """
    return 2 * (probs - targets)


def softmax_grad_hess(
    raw: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike | None = None
) -> tuple[Array, Array]:
    """dL/dz of each row's cross-entropy, and twice the diagonal of its Hessian M J, at least 1e-6.

    >>> softmax_grad_hess([[0.0, 0.0]], [1])[1].round(4)
    array([[0.5, 0.5]])
    """
    raw, targets = _float(raw), np.asarray(targets)
    weight = np.ones(len(raw)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    grad = cross_entropy_value_and_grad(raw, targets, sample_weight=weight, reduction="sum")[1]
    mass = targets.sum(axis=1, keepdims=True) if targets.ndim == 2 else 1.0
    diagonal = mass * np.diagonal(softmax_jacobian(softmax(raw)), axis1=-2, axis2=-1)
    return grad, np.maximum(2 * _weigh(diagonal, weight), 1e-6).astype(raw.dtype)


def fit_temperature(logits: ArrayLike, targets: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """The T of least mean cross-entropy of logits / T, by trying.

    >>> round(fit_temperature([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]], [0, 0, 1]), 4)  # 2 / log 2
    2.8854
    """
    z = np.asarray(logits, np.float64)
    scale, candidates = float(np.ptp(z, axis=1).max()), np.linspace(-30, 30, 61)
    for step in 0.1 ** np.arange(1, 9):
        losses = [cross_entropy(z / (scale * np.exp(c)), targets, sample_weight=sample_weight) for c in candidates]
        best = candidates[int(np.argmin(losses))]
        candidates = np.clip(best + step * np.arange(-15, 16), -30, 30)
    return scale * math.exp(best)


def cross_entropy_hessian_logits(probs: Array, targets: Array) -> Array:
    """H_ij = M J_ij of one row's loss with M = sum_c t_c, because dL/dz = M p - t.

    >>> cross_entropy_hessian_logits(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    return targets.sum(axis=-1)[..., None, None] * softmax_jacobian(probs)


def squared_error_hessian_logits(probs: Array, targets: Array) -> Array:
    """H = 2 (J J + diag(r) - r p^T - p r^T) of one row's loss, with r = J (p - t), half of dL/dz.

    The derivative of dL/dz_i = 2 sum_k J_ik (p_k - t_k): J J is from p_k, the rest from dJ_ik/dz_j.

    >>> squared_error_hessian_logits(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    """
    jacobian, half = softmax_jacobian(probs), softmax_vjp(probs, probs - targets)
    outer = half[..., :, None] * probs[..., None, :]
    return 2 * (jacobian @ jacobian + half[..., :, None] * np.eye(probs.shape[-1]) - outer - np.swapaxes(outer, -1, -2))


def dense(X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """Z = X W^T + b.

    >>> dense([[1.0, 2.0]], [[3.0, 4.0], [0.0, 1.0]], [0.0, 10.0])
    array([[11., 12.]])
    """
    logits = _matrix(X) @ np.asarray(weight).T
    return logits if bias is None else logits + np.asarray(bias)


def dense_vjp(X: ArrayLike, weight: ArrayLike, cotangent: ArrayLike) -> tuple[Array, Array, Array]:
    """dL/dX = G W;  dL/dW = sum_n (outer product of G_n and X_n) = G^T X;  dL/db = sum_n G_n.

    >>> dense_vjp([[1.0, 2.0]], [[3.0, 4.0], [0.0, 1.0]], [[1.0, -1.0]])[1]  # dL/dW
    array([[ 1.,  2.],
           [-1., -2.]])
    """
    X, weight, cotangent = _matrix(X), np.asarray(weight), np.asarray(cotangent)
    return cotangent @ weight, cotangent.T @ X, cotangent.sum(axis=0)


def linear_softmax(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, temperature: float = 1.0
) -> Array:
    """`softmax` of the logits X W^T + b.

    >>> linear_softmax([[1.0]], [[0.0], [np.log(3)]]).round(4)
    array([[0.25, 0.75]])
    """
    return softmax(dense(X, weight, bias), temperature=temperature)


def linear_log_softmax(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, *, temperature: float = 1.0
) -> Array:
    """`log_softmax` of the logits X W^T + b.

    >>> linear_log_softmax([[1.0]], [[0.0], [0.0]]).round(4)
    array([[-0.6931, -0.6931]])
    """
    return log_softmax(dense(X, weight, bias), temperature=temperature)


def linear_argmax(X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None) -> Array:
    """The class of the largest of the logits X W^T + b.

    >>> linear_argmax([[1.0], [-1.0]], [[0.0], [2.0]])
    array([1, 0])
    """
    return dense(X, weight, bias).argmax(axis=1)


def linear_cross_entropy(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, **options: Any
) -> Any:
    """`cross_entropy` of the logits X W^T + b.

    >>> float(linear_cross_entropy([[1.0]], [[0.0], [0.0]], None, [1]).round(4))
    0.6931
    """
    return cross_entropy(dense(X, weight, bias), targets, **options)


def linear_cross_entropy_value_and_grad(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, *, with_grad_X: bool = False,
    **options: Any,
) -> tuple[Any, LinearGrads]:  # fmt: skip
    """The loss, and its gradient with respect to the logits taken back through `dense`.

    >>> linear_cross_entropy_value_and_grad([[3.0]], [[0.0], [0.0]], None, [1])[1].weight.round(4)
    array([[ 1.5],
           [-1.5]])
    """
    loss, grad_logits = cross_entropy_value_and_grad(dense(X, weight, bias), targets, **options)
    return loss, _linear_grads(X, weight, bias, grad_logits, with_grad_X)


def linear_cross_entropy_hvp(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, weight_tangent: ArrayLike,
    bias_tangent: ArrayLike | None, *, probs: ArrayLike | None = None, **options: Any,
) -> LinearGrads:  # fmt: skip
    """The loss's Hessian in (weight, bias) times (weight_tangent, bias_tangent).

    >>> linear_cross_entropy_hvp([[1.0]], [[0.0], [0.0]], None, [1], [[1.0], [0.0]], None).weight.round(4)
    array([[ 0.25],
           [-0.25]])
    """
    hessian, tangent = cross_entropy_hessian_logits, dense(X, weight_tangent, bias_tangent)
    return _linear_hvp(hessian, X, weight, bias, tangent, probs, targets, True, **options)


def linear_squared_error(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, **options: Any
) -> Any:
    """`squared_error` of the logits X W^T + b.

    >>> float(linear_squared_error([[1.0]], [[0.0], [0.0]], None, [1]))
    0.5
    """
    return squared_error(dense(X, weight, bias), targets, **options)


def linear_squared_error_value_and_grad(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, *, with_grad_X: bool = False,
    **options: Any,
) -> tuple[Any, LinearGrads]:  # fmt: skip
    """The loss, and its gradient with respect to the logits taken back through `dense`.

    >>> linear_squared_error_value_and_grad([[3.0]], [[0.0], [0.0]], None, [1])[1].weight.round(4)
    array([[ 1.5],
           [-1.5]])
    """
    loss, grad_logits = squared_error_value_and_grad(dense(X, weight, bias), targets, **options)
    return loss, _linear_grads(X, weight, bias, grad_logits, with_grad_X)


def linear_squared_error_hvp(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, targets: ArrayLike, weight_tangent: ArrayLike,
    bias_tangent: ArrayLike | None, *, probs: ArrayLike | None = None, **options: Any,
) -> LinearGrads:  # fmt: skip
    """The loss's Hessian in (weight, bias) times (weight_tangent, bias_tangent).

    >>> linear_squared_error_hvp([[1.0]], [[0.0], [0.0]], None, [1], [[1.0], [0.0]], None).weight.round(4)
    array([[ 0.25],
           [-0.25]])
    """
    hessian, tangent = squared_error_hessian_logits, dense(X, weight_tangent, bias_tangent)
    return _linear_hvp(hessian, X, weight, bias, tangent, probs, targets, False, **options)


def _linear_hvp(
    hessian: Callable[[Array, Array], Array], X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, tangent: Array,
    probs: ArrayLike | None, targets: ArrayLike, classes_in_target: bool, **options: Any,
) -> LinearGrads:  # fmt: skip
    """Each row's (C, C) Hessian in the logits times the tangent of its logits, taken back through `dense`."""
    probs = softmax(dense(X, weight, bias)) if probs is None else _float(probs)
    t, by_row, scale, _ = _prepare(probs, targets, classes_in_target, **options)
    moved = (hessian(probs, t) * scale @ tangent[..., None])[..., 0]
    return _linear_grads(X, weight, bias, _weigh(moved, by_row), False)


def _linear_grads(
    X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, grad_logits: Array, with_grad_X: bool
) -> LinearGrads:
    grad_X, grad_weight, grad_bias = dense_vjp(X, weight, grad_logits)
    return LinearGrads(grad_weight, None if bias is None else grad_bias, grad_X if with_grad_X else None)


def _matrix(X: Any) -> Array:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X)


def _float(value: ArrayLike) -> Array:
    array = np.asarray(value)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _visible(logits: ArrayLike, where: ArrayLike | None) -> Array:
    logits = _float(logits)
    return logits if where is None else np.where(where, logits, -np.inf).astype(logits.dtype)


def _max(logits: Array, axis: Axis) -> Array:
    return logits.max(axis=axis, keepdims=True, initial=-np.inf)


def _along(axis: int, product: Callable[[Array, Array], Array], first: ArrayLike, second: ArrayLike) -> Array:
    """Apply a product that works on the last axis along another one."""
    first, second = _float(first), _float(second)
    return np.moveaxis(product(np.moveaxis(first, axis, -1), np.moveaxis(second, axis, -1)), -1, axis)


def _cross_entropy_by_row(log_probs: Array, t: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return -np.where(t == 0, 0, t * log_probs).sum(axis=-1)  # 0 log 0 is 0


def _prepare(
    logits: Array,
    targets: ArrayLike,
    classes_in_target: bool,
    *,
    sample_weight: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Array, Array | None, float, bool]:
    """Distributions t (..., C), row weights (...) or None, what a row is multiplied by, and whether rows are summed."""
    if reduction not in ("none", "sum", "mean"):
        raise ValueError(f'reduction must be "none", "sum" or "mean", got {reduction!r}')
    targets = np.asarray(targets)
    labelled = targets.ndim < logits.ndim
    weight = None if sample_weight is None else np.asarray(sample_weight, logits.dtype)
    if not labelled and ignore_index is not None and ignore_index >= 0:
        raise ValueError(f"ignore_index must be None or negative where targets are distributions, got {ignore_index}")
    if labelled and ignore_index is not None:
        weight = (targets != ignore_index) * (np.ones(targets.shape, logits.dtype) if weight is None else weight)
    t = one_hot(targets, logits.shape[-1], logits.dtype) if labelled else targets.astype(logits.dtype)
    taking_part = weight
    if class_weight is not None:
        by_class = np.asarray(class_weight, logits.dtype)
        both = t @ by_class if weight is None else weight * (t @ by_class)
        taking_part = both if labelled or not classes_in_target else weight
        weight = weight if classes_in_target else both
    if label_smoothing:
        t = (1 - label_smoothing) * t + label_smoothing / logits.shape[-1]
    if class_weight is not None and classes_in_target:
        t = t * by_class
    total = math.prod(logits.shape[:-1]) if taking_part is None else taking_part.sum()
    scale = (1.0 / total if total else math.nan) if reduction == "mean" else 1.0
    return t, weight, scale, reduction != "none"


def _weigh(values: Array, weight: Array | None) -> Array:
    return values if weight is None else np.where(weight[..., None] == 0, 0, weight[..., None] * values)


def _reduce(by_row: Array, weight: Array | None, scale: float, reduced: bool) -> Any:
    weighed = by_row if weight is None else np.where(weight == 0, 0, weight * by_row)
    return (weighed.sum() * scale).astype(by_row.dtype)[()] if reduced else weighed
