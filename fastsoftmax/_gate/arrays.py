"""The gate: what users hand in becomes what kernels take, or a clear error before anything is computed.

Kernels want C-contiguous, aligned, native float32 or float64 arrays; `contiguous` makes such of any real ones, and
`deliver` brings a result back into the caller's dtype and `out`. rows.py has the axes. The error messages that speak of
arrays are written here, those of targets and weights in targets.py.
"""

import functools
import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsoftmax._gate.halves import FLOAT16, FLOAT32, narrow, widen

Array = NDArray[Any]
Shape = tuple[int, ...]

_OVERLAP_WORK = 100_000  # np.shares_memory gives up after this much; then the arrays count as overlapping


def real_array(name: str, value: ArrayLike) -> Array:
    """The value as a plain array of bool, integer or float of at most 64 bits, in whatever layout it has."""
    if type(value) is np.ndarray:
        array = value
    else:
        array = plain_array(name, value, "its data, and ~mask as where= if the call has it")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must hold real numbers (float16, 32 or 64, integers or bool), got {array.dtype}")
    return array


def plain_array(name: str, value: ArrayLike, instead: str) -> Array:
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
