"""Matrices that kernels take as they are, known by a few looks: more would be felt in a call of ten numbers."""

from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array

_ARRAY, _FLOAT32, _FLOAT64 = np.ndarray, np.dtype(np.float32), np.dtype(np.float64)
_NO_OTHER = object()


def plain_target(array: Any, out: Any, other: Any = _NO_OTHER) -> Array | None:
    """Where the result goes if the arguments may be plain matrices of one float dtype; else None.

    direct.py refuses what is of another layout or shape. What it cannot tell are subclasses and the order of bytes.
    """
    if (
        type(array) is _ARRAY
        and array.ndim == 2
        and ((kind := array.dtype) is _FLOAT32 or kind is _FLOAT64)
        and (other is _NO_OTHER or (type(other) is _ARRAY and other.dtype is kind))
    ):
        if out is None:
            return np.empty_like(array)
        if type(out) is _ARRAY and out.dtype is kind:
            return out
    return None


def is_plain(array: Any) -> bool:
    """Whether kernels for matrices of floats take it as it is: aligned, C-contiguous and writable."""
    return bool(
        type(array) is _ARRAY
        and array.ndim == 2
        and ((kind := array.dtype) is _FLOAT32 or kind is _FLOAT64)
        and array.flags.carray
    )
