"""The mathematics of one row, a vector at a time: exp, log1p, the maximum, sums and dot products, float32 and float64.

A constant of the wrong dtype would turn float32 arithmetic into float64, so each dtype has its own exp with its own
constants. A row is walked through in chunks of CHUNK vectors; a sum runs in as many lanes as a vector has, and the
chunks are added with compensation. So the error of a sum does not grow with the length of the row, and its bits depend
on nothing but the row.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.jit import inlined, inlined_overload, kernel, routine
from fastsoftmax.kernels.simd import (
    as_power,
    as_power_in_eighths,
    below,
    equal,
    fma,
    lanes,
    larger,
    load_masked,
    max_of,
    misaligned,
    pointer,
    popcount,
    prefetch,
    select,
    splat,
    store,
    store_masked,
    store_nontemporal,
    sum_of,
)

CHUNK = 16  # vectors
AHEAD = 256  # vectors to fetch ahead: the fetching overlaps with exp (16384 x 1000: 4.0 ms against 6.4)
STREAM_BYTES = 2**23  # from here on past the caches (4096 x 1000: 0.9 ms against 1.5)

# exp(x) = 2^n exp(r), n = round(x / ln 2) in float64, and in float32, where a table has the eight 2^(j/8), in eighths:
# n = round(8 x / ln 2) / 8. So |r| <= ln 2 / 2 or ln 2 / 16, and exp(r) = 1 + r + r^2 q(r).
# q minimises the relative error of exp(r) (weighted least squares at Chebyshev points, 50 digits).
# n comes from adding 1.5 * 2^(mantissa bits): the sum's last bits are n. ln 2 in two parts keeps r exact.
# The magic number also holds the exponent's bias and a lift (32 or 256), so that those bits are 2^(n + lift): a normal
# number for every n down to the last subnormal result, which then rounds once, when 2^-lift is multiplied in.
_F32 = np.float32
_LOWEST_32 = _F32(-104.0)  # exp is 0 below
_EIGHTHS_32, _MAGIC_32, _UNLIFT_32 = _F32(8 * 1.4426950408889634), _F32(12582912.0 + 8 * (127 + 32)), _F32(2.0**-32)
_EIGHTH_HIGH_32, _EIGHTH_LOW_32 = _F32(0.08660888671875), _F32(3.451085285632871e-05)  # of ln 2
_Q0_32, _Q1_32, _Q2_32 = _F32(0.50000001), _F32(0.16668029), _F32(0.04166042)

_LOWEST_64 = -746.0
_LOG2E_64, _MAGIC_64, _UNLIFT_64 = 1.4426950408889634, 6755399441055744.0 + 1023 + 256, 2.0**-256
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_Q_64 = (
    0.50000000000000127398, 0.16666666666666482249, 0.041666666666516202904, 0.0083333333334515279565,
    0.0013888888946713305285, 0.00019841269596971037747, 2.480149030763859717e-05, 2.7557507361975542197e-06,
    2.7631140150201756818e-07, 2.5024639266311035283e-08,
)  # fmt: skip


@inlined
def _exp_32(x):
    shifted = fma(x, _EIGHTHS_32, _MAGIC_32)
    n = shifted - _MAGIC_32
    r = fma(n, -_EIGHTH_LOW_32, fma(n, -_EIGHTH_HIGH_32, x))
    q = fma(fma(_Q2_32, r, _Q1_32), r, _Q0_32)
    power = as_power_in_eighths(shifted)
    y = fma(fma(q, r * r, r), power, power) * _UNLIFT_32
    return select(below(x, _LOWEST_32), _F32(0), y)  # NaN is not below


@inlined
def _exp_64(x):
    shifted = fma(x, _LOG2E_64, _MAGIC_64)
    n = shifted - _MAGIC_64
    r = fma(n, -_LN2_LOW_64, fma(n, -_LN2_HIGH_64, x))
    q = fma(fma(fma(_Q_64[9], r, _Q_64[8]), r, _Q_64[7]), r, _Q_64[6])
    q = fma(fma(fma(q, r, _Q_64[5]), r, _Q_64[4]), r, _Q_64[3])
    q = fma(fma(fma(q, r, _Q_64[2]), r, _Q_64[1]), r, _Q_64[0])
    power = as_power(shifted)
    y = fma(fma(q, r * r, r), power, power) * _UNLIFT_64
    return select(below(x, _LOWEST_64), 0.0, y)


def exp(x):
    """Exp of each element of a vector, at most 60 (float32) or 500 (float64); the error is in tests/test_vecmath.py."""
    return _exp_32(x) if x.dtype == np.float32 else _exp_64(x)


@inlined_overload(exp)
def _exp_jitted(x):
    return (lambda x: _exp_32(x)) if x.kind == types.float32 else (lambda x: _exp_64(x))


# log1p(x) = log y + (x - (y - 1)) / y with y = 1 + x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and, s = f / (2 + f),
# log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 l(s^2)); l fitted as q above.
_L_64 = (
    0.66666666666667364183, 0.39999999999404346638, 0.2857142874431536638, 0.22222198399655023501,
    0.18183572470135385936, 0.15313858533348901814, 0.14797746947610200058,
)  # fmt: skip
_SQRT_HALF_BITS_64, _MANTISSA_64 = np.uint64(0x3FE6A09E667F3BCD), np.uint64(52)
_TO_FLOAT_64 = np.uint64(0x4330000000000000)  # 2^52, whose last bits are a small integer's when that is put there


@inlined
def log1p(x):
    """log(1 + x) of a float64 of at least 0 and below infinity, or NaN; error below 1.1 ULP (tests/test_vecmath.py)."""
    y = 1.0 + x
    bits = np.float64(y).view(np.uint64)
    whole = np.uint64((bits - _SQRT_HALF_BITS_64) >> _MANTISSA_64)  # y is at least 1, so this is not below 0
    k = np.uint64(whole | _TO_FLOAT_64).view(np.float64) - 4503599627370496.0  # AVX2 has no conversion of int64
    f = np.uint64(bits - (whole << _MANTISSA_64)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = _L_64[6]
    tail = fma(tail, z, _L_64[5])
    tail = fma(tail, z, _L_64[4])
    tail = fma(tail, z, _L_64[3])
    tail = fma(tail, z, _L_64[2])
    tail = fma(tail, z, _L_64[1])
    tail = fma(tail, z, _L_64[0])
    half_square = 0.5 * f * f
    low = fma(k, _LN2_LOW_64, (x - (y - 1.0)) / y)
    return k * _LN2_HIGH_64 - ((half_square - fma(s, fma(z, tail, half_square), low)) - f)


@routine
def log1p_each(x, count):
    # x_j = log(1 + x_j), j < count. By itself, where LLVM makes vectors of the loop (inlined for 8 lanes it unrolls it:
    # 1797 x 2 in float64, AVX2: 15 us against 11)
    for j in range(count):
        x[j] = log1p(x[j])


@inlined
def max_row(x, start, count):
    # x_j, j = start .. start + count -> the largest that is not NaN; -inf if there is none
    width = lanes(x)
    full = count - count % width
    top, second = splat(x, -np.inf), splat(x, -np.inf)
    paired = full - full % (2 * width) if count > CHUNK * width else 0
    for j in range(
        start, start + paired, 2 * width
    ):  # two that need not wait for each other: 1024 x 32000 in 8.2 ms, not 9.6
        top = larger(load_masked(x, j, width, -np.inf), top)
        second = larger(load_masked(x, j + width, width, -np.inf), second)
    for j in range(start + paired, start + full, width):
        top = larger(load_masked(x, j, width, -np.inf), top)
    top = larger(top, second)
    if full < count:
        top = larger(load_masked(x, start + full, count - full, -np.inf), top)
    return max_of(top)


@inlined
def exp_row(x, start, count, top, scale, apart, out, at):
    # e_j = exp((x_j - top) / T) -> ones, others with sum_j e_j = ones + others, and e in out from `at` on
    # unless it is None. Unless apart is None, the elements that are 1 (one of them is the maximum's) are counted in
    # ones: log1p of (ones - 1) + others keeps the digits that 1 + tiny would lose.
    width = CHUNK * lanes(x)
    ahead = max(AHEAD * lanes(x), 2 * count)
    ones, total, lost = 0, splat(x, 0), splat(x, 0)
    for j in range(0, count, width):
        more, part = _exp_chunk(x, start + j, min(width, count - j), top, scale, apart, out, at + j, ahead)
        ones = ones + more
        if j == 0:
            total = part
        else:
            total, lost = add(total, lost, part)
    others = np.float64(sum_of(total))
    if count > width:
        others += np.float64(sum_of(lost))
    return np.float64(ones), others


@inlined
def _exp_chunk(x, start, count, top, scale, apart, out, at, ahead):
    width = lanes(x)
    full = count - count % width
    ones, total = 0, splat(x, 0)
    for j in range(0, full, width):
        prefetch(x, start + j + ahead)
        e = exp(distance(load_masked(x, start + j, width, -np.inf), top, scale))
        if out is not None:
            store(e, out, at + j)
        ones, total = _count_apart(e, ones, total, apart)
    if full < count:
        e = exp(distance(load_masked(x, start + full, count - full, -np.inf), top, scale))
        if out is not None:
            store_masked(e, out, at + full, count - full)
        ones, total = _count_apart(e, ones, total, apart)
    return ones, total


def scaling(like, temperature):
    """What `distance` divides by: vectors h and h T, or None without a temperature.

    h = 1/2 above T = 1, where x - top may be too large a number though (x - top) / T is none. Below, what is too large
    is -inf, and exp 0, either way.
    """
    return None if temperature is None else _halves(like, temperature)


@inlined_overload(scaling)
def _scaling_jitted(like, temperature):
    if isinstance(temperature, types.NoneType):
        return lambda like, temperature: None
    return lambda like, temperature: _halves(like, temperature)


@inlined
def _halves(like, temperature):
    half = 0.5 if temperature > 1 else 1.0
    return splat(like, half), splat(like, half * temperature)


@inlined
def distance(x, top, scale):
    # (x - top) / T, the same bits: 1/2 is exact, but for subnormals, whose exp is 1 either way
    return x - top if scale is None else (x * scale[0] - top * scale[0]) / scale[1]


@inlined
def _count_apart(e, ones, total, apart):
    # e added to the total, but counted in ones where it is 1 unless apart is None
    if apart is None:
        return ones, total + e
    is_one = equal(e, splat(e, 1))
    return ones + popcount(is_one), total + select(is_one, splat(e, 0), e)


@kernel
def sum_row(x):
    # x (C,) -> sum_j x_j, a float64
    return sum_values(pointer(x), x.shape[0], element, (pointer(x), 0))


@inlined
def dot_row(x, x_start, y, y_start, count):
    # sum_j x_j y_j, a float64
    return sum_values(x, count, _product, (x, x_start, y, y_start))


@inlined
def element(total, j, count, x, start):
    return total + load_masked(x, start + j, count, 0)


@inlined
def _product(total, j, count, x, x_start, y, y_start):
    return fma(load_masked(x, x_start + j, count, 0), load_masked(y, y_start + j, count, 0), total)


@inlined
def sum_values(like, count, added, arguments):
    # sum_j value_j, a float64. added(total, j, some, *arguments) is total + the vector of `some` values from j on.
    width = CHUNK * lanes(like)
    total, lost = splat(like, 0), splat(like, 0)
    for j in range(0, count, width):
        part = sum_lanes(like, j, min(width, count - j), added, arguments)
        if j == 0:
            total = part
        else:
            total, lost = add(total, lost, part)
    return finish(np.float64(sum_of(total)), np.float64(sum_of(lost)) if count > width else 0.0)


@inlined
def sum_lanes(like, first, count, added, arguments):
    # the vector of partial sums, one a lane, that sum_of would fold: of `count` values, at most CHUNK vectors
    width = lanes(like)
    full = count - count % width
    total = splat(like, 0)
    for j in range(first, first + full, width):
        total = added(total, j, width, *arguments)
    if full < count:
        total = added(total, first + full, count - full, *arguments)
    return total


@inlined
def add(total, lost, term):
    # Two-sum (Knuth, TAOCP 2, 4.2.2): total + term, and in `lost` what that rounding dropped.
    larger = total + term
    part = larger - total
    return larger, lost + ((total - (larger - part)) + (term - part))


@inlined
def finish(total, lost):
    return total if np.isnan(lost) else total + lost  # inf - inf makes lost NaN where the sum is inf


@inlined
def fill_row(out, start, count, streaming, value, arguments):
    # out from `start` on = value(j, some, *arguments), vectors of `some` elements, j = 0 .. count. To stream, the
    # elements before the first whole line of the cache, and those after the last, are stored.
    width = lanes(out)
    head = 0
    if streaming:
        head = min((width - misaligned(out, start)) % width, count)
        if head > 0:
            store_masked(value(0, head, *arguments), out, start, head)
    stop = count - (count - head) % width
    for j in range(head, stop, width):
        if streaming:
            store_nontemporal(value(j, width, *arguments), out, start + j)
        else:
            store(value(j, width, *arguments), out, start + j)
    if stop < count:
        store_masked(value(stop, count - stop, *arguments), out, start + stop, count - stop)


@inlined
def fetch_ahead(x, position, n_lines):
    # so many lines of the cache from AHEAD vectors after the position on
    for line in range(n_lines):
        prefetch(x, position + (AHEAD + line) * lanes(x))


@inlined
def streams(out):
    # whether so much is written that it will not be read again from a cache
    return out.size * out.itemsize >= STREAM_BYTES
