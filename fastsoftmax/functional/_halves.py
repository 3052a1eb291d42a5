"""Plain rows of float16, which a kernel widens, works on and narrows a block at a time."""

from typing import Any

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._gate.halves import FLOAT16
from fastsoftmax._threads import run


def of_halves(which: int, arrays: tuple[Any, ...], axis: Any, out: Any) -> Array | None:
    """softmax, log_softmax or a product (`which`: as in kernels/rows/half_rows.py); None if they are not plain."""
    first = arrays[0]
    if not (type(first) is np.ndarray and first.dtype is FLOAT16 and first.size and first.ndim):
        return None
    if type(axis) is not int or axis not in (-1, first.ndim - 1):
        return None
    if not all(_is_plain(array, first.shape) for array in arrays):
        return None
    if out is None:
        out = np.empty(first.shape, FLOAT16)
    elif not _is_plain(out, first.shape) or any(np.may_share_memory(out, each) for each in arrays if each is not out):
        return None
    shape = (-1, first.shape[-1])
    bits = [array.view(np.uint16).reshape(shape) for array in (*arrays, out)]
    run(kernels.half_map_rows if len(arrays) == 1 else kernels.half_product_rows, first.size, which, *bits)
    return out


def _is_plain(array: Any, shape: tuple[int, ...]) -> bool:
    return type(array) is np.ndarray and array.dtype is FLOAT16 and array.shape == shape and array.flags.carray
