"""exp over every float32 and over 100 million random float64, and the bound of softmax on rows made to miss it.

    python bench/accuracy.py                                                     # about 5 minutes
    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES="" python bench/accuracy.py        # as AVX2 code

Errors of exp are in units of the last place (ULP): the distance to the next float at the exact value; below the normal
range, the smallest float. The exact values come from float64 for float32 and from pairs of float64 (double-doubles, 32
digits) for float64. tests/test_vecmath.py and tests/test_softmax.py hold the results on a part of these numbers. Exit
status 1 if a promise is broken.
"""

import math
import sys
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

import fastsoftmax as fs
from fastsoftmax.kernels.jit import kernel
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, store_masked

CHUNK = 2**22
RANGES = {np.float32: (-104.0, 60.0), np.float64: (-745.0, 500.0)}
LIMITS = {np.float32: 0.95, np.float64: 1.1}  # ULP
N_FLOAT64 = 100_000_000
NAN_32 = 0x7F800001  # the first of the bits of NaN

# ln 2 in three parts: the products of the first two, of 32 bits each, with an integer of 11 bits are exact
LN2 = (
    float.fromhex("0x1.62e42fee00000p-1"),
    float.fromhex("0x1.a39ef35600000p-33"),
    float.fromhex("0x1.93c7673007e5fp-65"),
)


@kernel
def exp_of(x, out):
    source, target, width = pointer(x), pointer(out), lanes(x)
    for j in range(0, x.shape[0], width):
        count = min(width, x.shape[0] - j)
        store_masked(exp(load_masked(source, j, count, 0)), target, j, count)


def our_exp(x: np.ndarray) -> np.ndarray:
    out = np.empty_like(x)
    exp_of(x, out)
    return out


def worst_float32(x: np.ndarray) -> tuple[float, float]:
    """The largest error in ULP at these points, and where it is."""
    exact = np.exp(x.astype(np.float64))
    limits = np.finfo(np.float32)
    _, exponent = np.frexp(exact)
    ulp = np.ldexp(1.0, np.maximum(exponent - 1, limits.minexp) - limits.nmant)
    error = np.abs(our_exp(x).astype(np.float64) - exact) / ulp
    at = int(error.argmax())
    return float(error[at]), float(x[at])


def every_float32(low: float, high: float) -> tuple[float, float, int]:
    """The worst error over all floats from low to high, where, and how many floats that are."""
    found, count = (0.0, 0.0), 0
    for bound, sign in ((high, 0), (-low, 0x80000000)):
        last = int(np.float32(bound).view(np.uint32))
        for bits in ranges(0, last, sign):
            found = max(found, worst_float32(bits.view(np.float32)))
            count += bits.size
    return *found, count


def others_float32(low: float) -> tuple[bool, int]:
    """Whether exp is 0 of all floats below low, -infinity with them, and NaN of each NaN; and how many those are."""
    good, count = True, 0
    first = int(np.float32(-low).view(np.uint32)) + 1
    for start, end, sign in ((first, 2**31 - 1, 0x80000000), (NAN_32, 2**31 - 1, 0)):
        for bits in ranges(start, end, sign):
            x = bits.view(np.float32)
            got = our_exp(x)
            good = good and bool(np.where(np.isnan(x), np.isnan(got), got == 0).all())
            count += bits.size
    return good, count


def ranges(first: int, last: int, sign: int) -> Iterator[np.ndarray]:
    """The bits of floats from the first to the last, some at a time."""
    for start in range(first, last + 1, CHUNK):
        yield np.arange(start, min(start + CHUNK, last + 1), dtype=np.uint32) | np.uint32(sign)


@numba.njit
def two_sum(a, b):
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@numba.njit
def two_product(a, b):
    # Dekker (1971): each factor in two halves, of which all products are exact
    c, d = 134217729.0 * a, 134217729.0 * b
    a_high, b_high = c - (c - a), d - (d - b)
    a_low, b_low = a - a_high, b - b_high
    p = a * b
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


@numba.njit
def times(a, a_low, b, b_low):
    p, e = two_product(a, b)
    return two_sum(p, e + (a * b_low + a_low * b))


@numba.njit
def plus(a, a_low, b, b_low):
    s, e = two_sum(a, b)
    return two_sum(s, e + (a_low + b_low))


@numba.njit
def exp_pair(x):
    """exp(x) = 2^k (high + low), of relative error below 2^-90: Taylor's series of r / 2^8, squared 8 times."""
    k = round(x / LN2[0])
    r, low = two_sum(x, -k * LN2[0])
    r, low = plus(r, low, -k * LN2[1], -k * LN2[2])
    r, low = r / 256, low / 256
    high, rest = 1.0, 0.0
    for n in range(11, 0, -1):  # 1 + r/n (1 + r/(n+1) (...))
        high, rest = times(high, rest, r, low)
        quotient = high / n
        p, e = two_product(quotient, float(n))
        high, rest = two_sum(quotient, ((high - p) - e + rest) / n)
        high, rest = plus(high, rest, 1.0, 0.0)
    for _ in range(8):
        high, rest = times(high, rest, high, rest)
    return high, rest, k


@numba.njit
def worst_float64(x, got):
    """The largest error in ULP at these points, and where it is."""
    worst, at = 0.0, 0.0
    for j in range(x.shape[0]):
        high, low, k = exp_pair(x[j])
        half = k // 2  # 2^-k alone may overflow
        scaled = math.ldexp(math.ldexp(got[j], int(-half)), int(half - k))
        ulp = max(math.ldexp(1.0, math.frexp(high)[1] - 53), math.ldexp(math.ldexp(1.0, -1074), int(-k)))
        error = abs((scaled - high) - low) / ulp
        if not error <= worst:
            worst, at = error, x[j]
    return worst, at


def random_float64(low: float, high: float) -> tuple[float, float]:
    """The worst error over random floats from low to high, and where."""
    rng, found = np.random.default_rng(0), (0.0, 0.0)
    for _ in range(N_FLOAT64 // 1_000_000):
        x = rng.uniform(low, high, 1_000_000)
        found = max(found, worst_float64(x, our_exp(x)))
    return found


def adversarial_rows(dtype: Any) -> Iterator[np.ndarray]:
    """Rows for which errors add up: sums of many terms of all sizes, ties, thirds, far and near the underflow."""
    rng, lowest = np.random.default_rng(1), RANGES[dtype][0]
    for n_columns in (2, 3, 7, 10, 16, 17, 33, 100, 513, 1000, 4099, 30_000):
        shape = (max(2, 60_000 // n_columns), n_columns)
        for offset in (0.0, -5.0, 1e4, -1e6, 1e8):
            for make in (
                lambda shape=shape: rng.uniform(lowest, 0, shape),
                lambda shape=shape: -np.exp(rng.uniform(-40, math.log(-lowest), shape)),  # of all sizes
                lambda shape=shape: -rng.integers(0, 3, shape) / 3,  # nothing is a power of 2
                lambda shape=shape: np.where(rng.random(shape) < 0.5, 0, lowest * rng.random(shape)),  # ties on top
                lambda shape=shape: np.full(shape, -rng.random() * 20) * (np.arange(shape[1]) > 0),  # one and many
                lambda shape=shape: np.log(2) * (rng.integers(0, -lowest, shape) * -1 + 0.5),  # ends of exp's range
            ):
                with np.errstate(over="ignore"):
                    yield (make() + offset).astype(dtype)


def share_of_bound(dtype: Any) -> tuple[float, int]:
    """The largest error of a probability over (|z - max z| + 8) eps, which must be below 1; of how many."""
    limits, worst, count = np.finfo(dtype), 0.0, 0
    for z in adversarial_rows(dtype):
        long = z.astype(np.longdouble)
        distance = long - long.max(axis=1, keepdims=True)
        e = np.exp(distance)
        p = e / e.sum(axis=1, keepdims=True)
        bound = (8 - distance) * limits.eps * p + limits.smallest_subnormal
        worst = max(worst, float((np.abs(fs.softmax(z) - p) / bound).max()))
        count += z.size
    return worst, count


def main() -> int:
    """Print what came of each; 1 if a promise is broken."""
    broken = False
    error, at, count = every_float32(*RANGES[np.float32])
    print(f"float32: at most {error:.4f} ULP over all {count:,} floats from -104 to 60 (at {at!r})", flush=True)
    good, others = others_float32(RANGES[np.float32][0])
    print(f"float32: {'0 or NaN as it must be' if good else 'WRONG'} of the {others:,} below and of NaN", flush=True)
    error_64, at = random_float64(*RANGES[np.float64])
    print(f"float64: at most {error_64:.4f} ULP over {N_FLOAT64:,} floats from -745 to 500 (at {at!r})", flush=True)
    broken = error > LIMITS[np.float32] or not good or error_64 > LIMITS[np.float64]
    for dtype in RANGES:
        share, count = share_of_bound(dtype)
        print(f"{dtype.__name__}: softmax's error is at most {share:.2f} of its bound over {count:,} hostile logits")
        broken = broken or share > 1
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
