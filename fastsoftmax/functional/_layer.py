"""What the functions of a dense layer share: X, weight and bias checked, the gradients that they fill, and the way from
there through the kernels (`evaluate`, `hvp`) for a loss on its softmax.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import (
    Array,
    check_out,
    check_shape,
    contiguous,
    deliver,
    kernel_target,
    real_array,
    result_dtypes,
)
from fastsoftmax._gate.numbers import read_flag
from fastsoftmax._gate.samples import Samples
from fastsoftmax._threads import run
from fastsoftmax.functional._loss_targets import LossTargets, read_loss_targets
from fastsoftmax.functional._losses import Loss

MULTIPLICATIONS = 8  # that take as long as one element of a row
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class LinearGrads(NamedTuple):
    """Gradients of a loss with respect to a dense layer; None where there is none or it was not asked for.

    Attributes
    ----------
    weight : ndarray (n_classes, n_features) or None
    bias : ndarray (n_classes,) or None
    X : ndarray (n_samples, n_features) or None

    Examples
    --------
    >>> import numpy as np, fastsoftmax as fs
    >>> X, weight = np.ones((2, 3)), np.zeros((4, 3))
    >>> grads = fs.LinearGrads(np.empty_like(weight), None)  # to be filled, again and again
    >>> loss, grads = fs.linear_cross_entropy_value_and_grad(X, weight, None, [0, 3], out=grads)
    >>> grads.weight[:, 0]
    array([-0.25,  0.25,  0.25, -0.25])
    """

    weight: Array | None
    bias: Array | None
    X: Array | None = None


def are_plain(X: Any, weight: Any, bias: Any) -> bool:
    """Whether a kernel takes all as they are: fitting arrays, not empty, of one float dtype; a bias may be None."""
    return (
        type(X) is type(weight) is np.ndarray
        and ((kind := X.dtype) is _FLOAT32 or kind is _FLOAT64)
        and weight.dtype is kind
        and X.ndim == weight.ndim == 2
        and X.shape[1] == weight.shape[1]
        and X.size > 0
        and weight.size > 0
        and X.flags.carray  # aligned, C-contiguous and writable (read-only ones take Numba long to look up)
        and weight.flags.carray
        and (bias is None or is_plain_of(bias, kind, (len(weight),)))
    )


def is_plain_of(array: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Whether a kernel takes another array as it is."""
    return type(array) is np.ndarray and array.dtype is dtype and array.shape == shape and array.flags.carray


def can_take(out: Any, X: Any, weight: Any, bias: Any) -> bool:
    """Whether a kernel can write its result there while it reads such arrays."""
    return (
        is_plain_of(out, X.dtype, (len(X), len(weight)))
        and not (np.may_share_memory(out, X) or np.may_share_memory(out, weight))
        and (bias is None or not np.may_share_memory(out, bias))
    )


def bias_or_zeros(bias: Array | None, weight: Array) -> Array:
    """A bias for kernels."""
    return np.zeros(len(weight), weight.dtype) if bias is None else bias


class Layer:
    """A dense layer and its input, checked, and as kernels take them.

    Attributes
    ----------
    n_samples, n_features, n_classes : int
    dtype, compute : of the result, and of what kernels compute with
    weight, bias : for kernels; a bias of None is zeros
    arrays : what the callers gave, by name: no result may partly overlap them
    work : how much there is to do, in elements of a row
    """

    def __init__(self, X: ArrayLike, weight: ArrayLike, bias: ArrayLike | None, **more: Array) -> None:
        self._samples = Samples(X)
        given = real_array("weight", weight)
        if given.ndim != 2:
            raise ValueError(f"weight must have shape (n_classes, n_features), got {given.shape}")
        self.n_samples, self.n_features = self._samples.shape
        self.n_classes = len(given)
        if given.shape[1] != self.n_features:
            fitting = f"(n_samples, {given.shape[1]}), because weight has shape {given.shape}"
            raise ValueError(f"X must have shape {fitting}, got {self._samples.shape}")
        self.arrays = {**self._samples.arrays, "weight": given, **more}
        self.has_bias = bias is not None
        if bias is not None:
            self.arrays["bias"] = real_array("bias", bias)
            check_shape("bias", self.arrays["bias"], (self.n_classes,))
        floats = [array.dtype for name, array in self.arrays.items() if not name.startswith("X")]
        self.dtype, self.compute = result_dtypes(self._samples.dtype, *floats)
        self.weight = contiguous(given, self.compute)
        self.bias = contiguous(bias_or_zeros(self.arrays.get("bias"), self.weight), self.compute)
        self.work = self._samples.n_numbers * self.n_classes // MULTIPLICATIONS

    def read(self, name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
        """Another argument of the shape, for kernels."""
        self.arrays[name] = real_array(name, value)
        check_shape(name, self.arrays[name], shape)
        return contiguous(self.arrays[name], self.compute)

    def pieces(self) -> Iterator[tuple[slice, Any]]:
        """Rows, and X of those rows as kernels take it."""
        return self._samples.pieces(self.compute)

    def target(self, name: str, out: Array | None, shape: tuple[int, ...]) -> Array:
        """An array for a kernel to fill: out if it can be filled before the arguments are read to their end."""
        check_out(out, shape, self.dtype, self.arrays, name)
        apart = out is not None and not any(np.may_share_memory(out, array) for array in self.arrays.values())
        return kernel_target(out if apart else None, shape, self.compute)


class Grads:
    """The gradients of a layer: arrays for kernels, and the way to the caller's."""

    def __init__(self, layer: Layer, with_grad_X: bool, out: LinearGrads | None) -> None:
        self._layer, self._with_grad_X = layer, read_flag("with_grad_X", with_grad_X)
        self._out = LinearGrads(None, None) if out is None else _read_out(out, layer.has_bias, with_grad_X)
        shapes = ((layer.n_classes, layer.n_features), (layer.n_classes,), (layer.n_samples, layer.n_features))
        self._filled = [
            layer.target(f"out.{name}", array, shape)
            for name, array, shape in zip(LinearGrads._fields, self._out, shapes, strict=True)
            if name != "X" or with_grad_X
        ]
        for filled in self._filled[:2]:  # kernels add to these
            filled[...] = 0

    def of_rows(self, rows: slice) -> tuple[Array, Array, Array]:
        """weight, bias and the rows of X, for a kernel."""
        return self._filled[0], self._filled[1], self._filled[2][rows] if self._with_grad_X else self._filled[0][:0]

    def deliver(self) -> LinearGrads:
        """In the caller's arrays and dtype."""
        done = [deliver(filled, self._layer.dtype, out) for filled, out in zip(self._filled, self._out, strict=False)]
        return LinearGrads(done[0], done[1] if self._layer.has_bias else None, done[2] if self._with_grad_X else None)


class NoGrads:
    """No gradient is wanted: for a kernel, empty arrays."""

    def __init__(self, layer: Layer) -> None:
        self._none = np.empty((0, layer.n_features), layer.compute), np.empty(0, layer.compute)

    def of_rows(self, rows: slice) -> tuple[Array, Array, Array]:
        """weight, bias and X."""
        return self._none[0], self._none[1], self._none[0]

    def deliver(self) -> None:
        """Nothing."""


def _read_out(out: LinearGrads, has_bias: bool, with_grad_X: bool) -> LinearGrads:
    if not isinstance(out, LinearGrads):
        raise TypeError(f"out must be a LinearGrads, got {type(out).__name__}")
    if out.bias is not None and not has_bias:
        raise ValueError("out.bias must be None where bias is")
    if out.X is not None and not with_grad_X:
        raise ValueError("out.X must be None unless with_grad_X is True")
    given = [array for array in out if isinstance(array, np.ndarray)]
    if any(np.may_share_memory(a, b) for i, a in enumerate(given) for b in given[:i]):
        raise ValueError("the arrays of out must not overlap one another")
    return out


def evaluate(
    loss: Loss,
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    options: tuple[Any, ...],
    wanted: tuple[bool, LinearGrads | None] | None = None,
) -> tuple[Any, Any]:
    """Check everything, then lead the kernel over X: (loss, LinearGrads or None). wanted: with_grad_X and out."""
    layer = Layer(X, weight, bias)
    loss_targets = _read_loss_targets(loss, layer, targets, options)
    grads = Grads(layer, *wanted) if wanted else NoGrads(layer)
    losses = np.empty(layer.n_samples)
    for rows, X_here in layer.pieces():
        some = loss_targets.of_rows(rows)
        arguments = (*some.for_kernels, losses[rows], *grads.of_rows(rows))
        run(kernels.linear_loss_rows, layer.work, loss.number, X_here, layer.weight, layer.bias, *arguments)
    value = deliver(losses, layer.dtype) if options[-1] == "none" else loss_targets.reduce(losses, layer.dtype)
    return value, grads.deliver()


def hvp(
    loss: Loss,
    X: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    targets: ArrayLike,
    tangents: tuple[ArrayLike, ArrayLike | None],
    options: tuple[Any, ...],
    probs: ArrayLike | None,
    out: LinearGrads | None,
) -> LinearGrads:
    """Check everything, then lead the kernel over X."""
    layer = Layer(X, weight, bias)
    weight_tangent = layer.read("weight_tangent", tangents[0], layer.weight.shape)
    if bias is None and tangents[1] is not None:
        raise ValueError("bias_tangent must be None where bias is")
    bias_tangent = np.zeros_like(layer.bias)
    if tangents[1] is not None:
        bias_tangent = layer.read("bias_tangent", tangents[1], layer.bias.shape)
    loss_targets = _read_loss_targets(loss, layer, targets, options)
    ready = np.empty((0, layer.n_classes), layer.compute)
    if probs is not None:
        ready = layer.read("probs", probs, (layer.n_samples, layer.n_classes))
    grads = Grads(layer, False, out)
    for rows, X_here in layer.pieces():
        point = (loss.number, X_here, layer.weight, layer.bias, weight_tangent, bias_tangent)
        targets_here, results = loss_targets.of_rows(rows).for_kernels, grads.of_rows(rows)[:2]
        run(kernels.linear_loss_hvp_rows, 2 * layer.work, *point, *targets_here, ready[rows], *results)
    return grads.deliver()


def _read_loss_targets(loss: Loss, layer: Layer, targets: ArrayLike, options: tuple[Any, ...]) -> LossTargets:
    given = real_array("targets", targets)
    layer.arrays["targets"] = given
    return read_loss_targets(loss, given, (layer.n_samples, layer.n_classes), layer.compute, *options)
