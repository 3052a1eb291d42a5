"""float16, in which nothing is computed, to float32 and back, at the speed of the memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsoftmax import kernels

Array = NDArray[Any]
FLOAT16, FLOAT32 = np.dtype(np.float16), np.dtype(np.float32)


def widen(halves: Array, out: Array) -> None:
    """The same numbers as float32, in out; both as kernels take arrays."""
    kernels.widen(halves.reshape(-1).view(np.uint16), out.reshape(-1).view(np.uint32), out.reshape(-1))


def narrow(values: Array) -> Array:
    """float32 as float16, rounded to the nearest, or even; what is too large becomes infinite."""
    halves = np.empty(values.shape, FLOAT16)
    kernels.narrow(values.reshape(-1).view(np.uint32), values.reshape(-1), halves.reshape(-1).view(np.uint16))
    return halves
