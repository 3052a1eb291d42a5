"""The gate for arrays with an axis: matrices whose rows lie along it, or blocks whose columns do, and the way back."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax._gate.arrays import (
    Array,
    Shape,
    check_out,
    check_shape,
    contiguous,
    deliver,
    kernel_target,
    plain_array,
    real_array,
    result_dtypes,
)
from fastsoftmax._gate.numbers import index
from fastsoftmax.kernels.rows.thin import WIDE

Axis = int | tuple[int, ...] | None
LAST, ONE = -1, 1.0  # the default axis and temperature, by identity


def normalize_axis(axis: Axis, ndim: int) -> tuple[int, ...]:
    """Non-negative axes in increasing order; None is all of them. A scalar counts as having one axis, as in torch."""
    if type(axis) is int and -ndim <= axis < ndim:
        return (axis % ndim,)
    if axis is None:
        return tuple(range(ndim))
    try:
        given = [index(a) for a in (axis if isinstance(axis, tuple) else (axis,))]
    except TypeError:
        raise TypeError(f"axis must be an integer, a tuple of integers or None, got {axis!r}") from None
    if ndim == 0 and given in ([-1], [0]):
        return ()
    for a in given:
        if not -ndim <= a < ndim:
            raise np.exceptions.AxisError(a, ndim)
    axes = tuple(sorted({a % ndim for a in given}))
    if len(axes) != len(given):
        raise ValueError(f"axis must not name one axis twice, got {axis!r}")
    return axes


class Rows:
    """Arrays of one shape, in the shape that kernels see; and the way back.

    That shape is a matrix, whose rows run along the axes, or (outer, n_columns, inner), whose columns do, for axes that
    are not the last. Which of them depends on shape and axes alone, so that no other layout changes a bit.

    Attributes
    ----------
    shape, dtype : of the result
    compute : the dtype of the inputs
    n_rows, n_columns : how many rows (or columns), and how many elements each
    along : "rows" or "columns", which names the kernel
    inputs : what kernels read, in the order of the arguments
    """

    def __init__(self, axis: Axis, /, **arrays: ArrayLike) -> None:
        self._arrays = {name: real_array(name, value) for name, value in arrays.items()}
        first = next(iter(self._arrays.values()))
        self.shape: Shape = first.shape
        if len(arrays) > 1:
            for name, array in self._arrays.items():
                check_shape(name, array, self.shape)
        self.dtype, self.compute = result_dtypes(*[array.dtype for array in self._arrays.values()])
        self._axes, self._moved = normalize_axis(axis, len(self.shape)), False
        self._work_shape = self._plan()
        self.along = "rows" if len(self._work_shape) == 2 else "columns"
        self.inputs = [self.matrix(array, self.compute) for array in self._arrays.values()]

    def _plan(self) -> Shape:
        """The shape that kernels see; _moved: whether the axes must be moved to the end for that."""
        shape, axes = self.shape, self._axes
        start = axes[0] if axes else len(shape)
        end = start + len(axes)
        together = not axes or axes[-1] == end - 1
        if together:
            outer, self.n_columns, inner = math.prod(shape[:start]), math.prod(shape[start:end]), math.prod(shape[end:])
            self.n_rows = outer * inner
            if end < len(shape) and inner >= WIDE:
                return outer, self.n_columns, inner
            self._moved = end < len(shape)
        else:
            self.n_columns = math.prod([shape[a] for a in axes])
            self.n_rows = math.prod([shape[a] for a in self._kept])
            self._moved = True
        return self.n_rows, self.n_columns

    @property
    def _kept(self) -> list[int]:
        return [a for a in range(len(self.shape)) if a not in self._axes]

    @property
    def _order(self) -> tuple[int, ...]:
        return *self._kept, *self._axes

    def matrix(self, array: Array, dtype: np.dtype[Any]) -> Array:
        """An array of the callers' shape in the shape that kernels see; a view where a kernel can read it."""
        ready = contiguous(array.transpose(self._order) if self._moved else array, dtype)
        return ready if ready.shape == self._work_shape else ready.reshape(self._work_shape)

    def mask(self, where: ArrayLike | None) -> Array | None:
        """where= as a matrix of bool."""
        if where is None:
            return None
        mask = plain_array("where", where, "where.filled(False)")
        if mask.dtype != np.bool_:
            raise TypeError(f"where must hold bool, got {mask.dtype}")
        if mask.shape != self.shape:
            try:
                mask = np.broadcast_to(mask, self.shape)
            except ValueError:
                raise ValueError(f"where must broadcast to shape {self.shape}, got {mask.shape}") from None
        self.note_input("where", mask)
        return self.matrix(mask, mask.dtype)

    def note_input(self, name: str, array: Array) -> None:
        """Name another array that the kernel reads, so that `out` must be apart from it."""
        self._arrays[name] = array

    def target(self, out: Array | None) -> Array:
        """The matrix for the kernel to fill: the memory of `out` itself where a kernel can write there."""
        check_out(out, self.shape, self.dtype, self._arrays)
        matrix = kernel_target(None if self._moved else out, self.shape, self.compute)
        return matrix if matrix.shape == self._work_shape else matrix.reshape(self._work_shape)

    def deliver(self, filled: Array, out: Array | None) -> Any:
        """The filled matrix in the callers' shape and dtype, in `out` if there is one; a 0-d answer as a scalar."""
        if self._moved:
            filled = filled.reshape([self.shape[a] for a in self._order]).transpose(np.argsort(self._order))
        elif filled.shape != self.shape:
            filled = filled.reshape(self.shape)
        result = deliver(filled, self.dtype, out)
        return result if self.shape or out is not None else result[()]

    def deliver_reduced(self, values: Array, keepdims: bool) -> Any:
        """One value a row, in the callers' shape less the axes (or with axes of length 1) and dtype."""
        axes = self._axes
        shape = [1 if a in axes else n for a, n in enumerate(self.shape) if keepdims or a not in axes]
        return deliver(values.reshape(shape), self.dtype)[()]
