"""The gate: what users hand in becomes what kernels take, or a clear error before anything is computed.

Kernels want C-contiguous, aligned, native float32 or float64 matrices whose rows lie along the axis of the operation.
`Rows` makes such matrices of any real arrays and brings a result back into the caller's shape, dtype and `out`. The
error messages that speak of arrays are written here, those of targets and weights in targets.py.
"""

import functools
import math
import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsoftmax._gate.halves import FLOAT16, FLOAT32, narrow, widen
from fastsoftmax._gate.numbers import index
from fastsoftmax.kernels.rows.thin import WIDE

Array = NDArray[Any]
LAST, ONE = -1, 1.0  # the default axis and temperature, by identity
Shape = tuple[int, ...]
Axis = int | tuple[int, ...] | None

_OVERLAP_WORK = 100_000  # np.shares_memory gives up after this much; then the arrays count as overlapping


def real_array(name: str, value: ArrayLike) -> Array:
    """The value as a plain array of bool, integer or float of at most 64 bits, in whatever layout it has."""
    if type(value) is np.ndarray:
        array = value
    else:
        array = _plain_array(name, value, "its data, and ~mask as where= if the call has it")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must hold real numbers (float16, 32 or 64, integers or bool), got {array.dtype}")
    return array


def _plain_array(name: str, value: ArrayLike, instead: str) -> Array:
    """The value as an array; what is masked, sparse or ragged is an error. instead: of a masked array."""
    if _is_masked(value):
        raise TypeError(f"{name} must not be a masked array: hand in {instead}")
    check_dense(name, value)
    return check_regular(name, value)


def _is_masked(value: Any) -> bool:
    masked = sys.modules.get("numpy.ma")  # NumPy imports it when it is asked for: 6 ms of a first call's 40
    return masked is not None and isinstance(value, masked.MaskedArray)


def check_unmasked(name: str, value: Any) -> None:
    """Raise if something of the value is masked."""
    if _is_masked(value) and np.any(value.mask):
        raise ValueError(f"{name} must not be a masked array: what is masked has no value")


def is_sparse(value: Any) -> bool:
    """Whether the value is an array or matrix of scipy.sparse."""
    sparse = sys.modules.get("scipy.sparse")  # nobody has such a matrix who has not imported it
    return sparse is not None and bool(sparse.issparse(value))


def check_dense(name: str, value: Any) -> None:
    """Raise if the value is sparse."""
    if is_sparse(value):
        raise TypeError(f"{name} must be dense, got a sparse {type(value).__name__}: hand in {name}.toarray()")


def check_regular(name: str, value: ArrayLike) -> Array:
    """The value as an array; an error that names it for a ragged list, or for what NumPy cannot read."""
    try:
        array = np.asarray(value)
        if array.ndim == 0 and array.dtype.kind == "O" and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)  # type: ignore[arg-type]
        return array
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    # as torch has it for tensors that are on a GPU, or need a gradient
    except (RuntimeError, TypeError, BufferError) as error:
        raise TypeError(f"{name} must be an array: {error}") from None


@functools.cache
def result_dtypes(*dtypes: np.dtype[Any]) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """The dtype of the result to arguments of these dtypes, and the dtype that kernels compute it in.

    The answer has the widest float of the arguments, an integer or bool counting as float64. float16 is computed in
    float32.
    """
    # by its type, which gives NumPy's own object for it: `ready` looks at no more than that
    answer = np.dtype(np.result_type(*[d if d.kind == "f" else np.float64 for d in dtypes]).type)
    return answer, np.dtype(np.float32) if answer == np.float16 else answer


def is_ready(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a kernel can read the array as it is."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def contiguous(array: Array, dtype: np.dtype[Any]) -> Array:
    """The array itself where a kernel can read it, else a clean copy in the dtype."""
    if is_ready(array, dtype):
        return array if array.flags.writeable else np.asarray(_Unlocked(array))
    if dtype == FLOAT32 and is_ready(array, FLOAT16):
        wide = np.empty(array.shape, dtype)
        widen(contiguous(array, FLOAT16), wide)
        return wide
    with QUIET():
        return np.array(array, dtype=dtype, order="C")


QUIET = functools.partial(np.errstate, all="ignore")  # results are what they are, whatever np.seterr the caller has


class _Unlocked:
    """A read-only array as one that Numba takes for writable: else each kernel would be compiled once more for it.

    Kernels do not write what they read.
    """

    def __init__(self, array: Array) -> None:
        self._array = array  # keeps the memory
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def check_shape(name: str, array: Array, shape: Shape) -> None:
    """Raise unless the array has the shape."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def check_out(
    out: Array | None, shape: Shape, dtype: np.dtype[Any], inputs: dict[str, Array], name: str = "out"
) -> None:
    """Raise unless `out` can take the result: shape, dtype, writable, and no input itself or apart from all of them."""
    if out is None:
        return
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(out).__name__}")
    check_shape(name, out, shape)
    if out.dtype != dtype:
        raise ValueError(f"{name} must have dtype {dtype}, got {out.dtype}")
    if not out.flags.writeable:
        raise ValueError(f"{name} must be writable, got a read-only array")
    if not out.flags.forc and _elements_share_memory(out):
        raise ValueError(f"{name} must not overlap itself")
    for other, array in inputs.items():
        if np.may_share_memory(out, array) and not _same_elements(out, array) and _overlap(out, array):
            raise ValueError(f"{name} must not partly overlap {other}")


def kernel_target(out: Array | None, shape: Shape, dtype: np.dtype[Any]) -> Array:
    """An array for a kernel to fill: `out` itself (as a plain array) if the kernel can write there, else a new one."""
    if out is not None and contiguous(out, dtype) is out:
        return np.asarray(out)
    return np.empty(shape, dtype)


def deliver(filled: Array, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """What a kernel filled, C-contiguous in the dtype of the result, or in `out`."""
    if out is None:
        return contiguous(filled, dtype) if dtype != np.float16 else to_half(filled)
    if filled is not out and not _same_elements(filled, out):
        np.asarray(out)[...] = filled if dtype != np.float16 else to_half(filled)  # past a subclass's own ways to store
    return out


def scalar(value: float, dtype: np.dtype[Any]) -> Any:
    """A number of float64 in the dtype of the result, rounded without a warning."""
    if dtype == np.float64 or (dtype == FLOAT32 and 1e-30 < abs(value) < 1e30):
        return dtype.type(value)
    return deliver(np.array(value, np.float64), dtype)[()]


def to_half(values: Array) -> Array:
    """As float16; what is too large or too small for it becomes infinite or 0 without a warning."""
    if is_ready(values, FLOAT32) and values.flags.writeable:
        return narrow(values)
    with QUIET():
        return values.astype(np.float16)


def _same_elements(a: Array, b: Array) -> bool:
    start_a, start_b = a.__array_interface__["data"][0], b.__array_interface__["data"][0]
    if (start_a, a.shape, a.dtype) != (start_b, b.shape, b.dtype):
        return False
    steps = zip(a.shape, a.strides, b.strides, strict=True)
    return all(step_a == step_b or n == 1 for n, step_a, step_b in steps)  # along an axis of length 1 there is no step


def _elements_share_memory(array: Array) -> bool:
    """Whether two elements of the array lie at one place, or whether its axes do not nest, as those of a slice do."""
    reach = array.itemsize  # of the axes of shorter strides
    for stride, n in sorted((abs(stride), n) for stride, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach += stride * (n - 1)
    return False


def _overlap(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=_OVERLAP_WORK)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


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
        mask = _plain_array("where", where, "where.filled(False)")
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
