"""Matrices that kernels take as they are, known by a few looks: more would be felt in a call of ten numbers."""

from typing import Any

import numpy as np

_ARRAY, _FLOAT32, _FLOAT64 = np.ndarray, np.dtype(np.float32), np.dtype(np.float64)


def is_plain(array: Any) -> bool:
    """Whether kernels for matrices of floats take it as it is: aligned, C-contiguous and writable."""
    return bool(
        type(array) is _ARRAY
        and array.ndim == 2
        and ((kind := array.dtype) is _FLOAT32 or kind is _FLOAT64)
        and array.flags.carray
    )
