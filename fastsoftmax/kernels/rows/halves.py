"""float16, of which Numba has no numbers: as float32, exactly, and float32 rounded to it, to the nearest, or even."""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.simd import converts_halves, lanes, load, load_halves, pointer, store, store_halves

STEP = 4096  # numbers at a time, which lie in L1 for the second loop


@kernel
def widen(halves, bits, floats):
    # halves (n,) uint16, the bits of float16 -> the same numbers as float32; bits and floats (n,) are one memory.
    # Without instructions for it, loops that vectorise: 6.6 billion numbers a second, 0.5 by NumPy's conversion
    h, to_bits, to = pointer(halves), pointer(bits), pointer(floats)
    converted = _whole_vectors(floats)
    for i in range(0, converted, lanes(floats)):
        store(load_halves(h, i), to, i)
    for first in range(converted, halves.shape[0], STEP):
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


@kernel
def narrow(bits, floats, halves):
    # bits and floats (n,) are one memory -> halves (n,) uint16 of the float16 next to each: without instructions for it
    # 12 billion a second (AVX2: 6), 0.7 by NumPy's conversion. A NaN stays one, quiet, with its first bits
    source, to = pointer(bits), pointer(halves)
    converted = _whole_vectors(floats)
    for i in range(0, converted, lanes(floats)):
        store_halves(load(pointer(floats), i), to, i)
    for i in range(converted, bits.shape[0]):
        value = source[i]
        sign, rest = np.uint32((value >> np.uint32(16)) & np.uint32(0x8000)), np.uint32(value & np.uint32(0x7FFFFFFF))
        odd = np.uint32((rest >> np.uint32(13)) & np.uint32(1))
        rounded = np.uint32(np.uint32(rest + np.uint32(0xFFF)) + odd)
        normal = min(np.uint32(np.uint32(rounded - np.uint32(0x38000000)) >> np.uint32(13)), np.uint32(0x7C00))
        # below the least normal float16: the last bit of a number from 1/2 on is that of the least float16
        small = np.uint32(np.float32(rest.view(np.float32) + np.float32(0.5)).view(np.uint32) - np.uint32(0x3F000000))
        not_a_number = np.uint32(np.uint32(0x7E00) | np.uint32((rest >> np.uint32(13)) & np.uint32(0x3FF)))
        found = small if rest < np.uint32(0x38800000) else normal
        found = not_a_number if rest > np.uint32(0x7F800000) else found
        to[i] = np.uint16(sign | found)


@inlined
def _whole_vectors(floats):
    # how many numbers the machine's own instructions convert
    return floats.shape[0] - floats.shape[0] % lanes(floats) if converts_halves() else 0
