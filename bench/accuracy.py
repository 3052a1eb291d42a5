"""The error of exp over every float32 of its range, and over 10 million float64, in units of the last place (ULP).

    python bench/accuracy.py

One ULP is the distance to the next float at the exact value; below the normal range, the smallest float. The exact
values come from float64 for float32, and from extended precision for float64. tests/test_vecmath.py holds the result on
a part of these floats.
"""

import numpy as np

from fastsoftmax.kernels.jit import kernel
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, store_masked

CHUNK = 2**22
RANGES = {np.float32: (-104.0, 60.0), np.float64: (-745.0, 500.0)}


@kernel
def exp_of(x, out):
    source, target, width = pointer(x), pointer(out), lanes(x)
    for j in range(0, x.shape[0], width):
        count = min(width, x.shape[0] - j)
        store_masked(exp(load_masked(source, j, count, 0)), target, j, count)


def worst(x: np.ndarray, wide: type) -> tuple[float, float]:
    """The largest error in ULP at these points, and where it is."""
    out = np.empty_like(x)
    exp_of(x, out)
    exact = np.exp(x.astype(wide))
    limits = np.finfo(x.dtype)
    _, exponent = np.frexp(exact)
    ulp = np.ldexp(wide(1), np.maximum(exponent - 1, limits.minexp) - limits.nmant)
    error = np.abs(out.astype(wide) - exact) / ulp
    at = int(error.argmax())
    return float(error[at]), float(x[at])


def every_float32(low: float, high: float) -> tuple[float, float, int]:
    """The worst error over all floats from low to high, where, and how many floats that are."""
    found, count = (0.0, 0.0), 0
    for bound, sign in ((high, 0), (-low, 0x80000000)):
        last = int(np.float32(bound).view(np.uint32))
        for start in range(0, last + 1, CHUNK):
            bits = np.arange(start, min(start + CHUNK, last + 1), dtype=np.uint32) | np.uint32(sign)
            found = max(found, worst(bits.view(np.float32), np.float64))
            count += bits.size
    return *found, count


def main() -> None:
    error, at, count = every_float32(*RANGES[np.float32])
    print(f"float32: at most {error:.4f} ULP over all {count} floats from -104 to 60 (at {at!r})")
    low, high = RANGES[np.float64]
    rng, found = np.random.default_rng(0), (0.0, 0.0)
    for _ in range(10):
        found = max(found, worst(rng.uniform(low, high, 1_000_000), np.longdouble))
    print(f"float64: at most {found[0]:.4f} ULP over 10 000 000 floats from -745 to 500 (at {found[1]!r})")


if __name__ == "__main__":
    main()
