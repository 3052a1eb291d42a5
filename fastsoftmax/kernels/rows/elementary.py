"""exp and log1p. Each dtype has an exp with constants of its own: one of float64 would make float32 arithmetic wide."""

import numpy as np
from numba import types

from fastsoftmax.kernels.jit import inlined, inlined_overload, routine
from fastsoftmax.kernels.simd import (
    as_power,
    as_power_in_eighths,
    below,
    fma,
    lanes,
    load_pair,
    select,
    splat,
    store,
)

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
_LN2_HIGH_32, _LN2_LOW_32 = _F32(6.9313812256e-01), _F32(9.0580006145e-06)
_L0_32, _L1_32, _L2_32 = _F32(0.6666677813), _F32(0.39977378982), _F32(0.298753021338)
_SQRT_HALF_BITS_32, _MANTISSA_32 = np.uint32(0x3F3504F3), np.uint32(23)

_L_64 = (
    0.66666666666667364183, 0.39999999999404346638, 0.2857142874431536638, 0.22222198399655023501,
    0.18183572470135385936, 0.15313858533348901814, 0.14797746947610200058,
)  # fmt: skip
_SQRT_HALF_BITS_64, _MANTISSA_64 = np.uint64(0x3FE6A09E667F3BCD), np.uint64(52)
_TO_FLOAT_64 = np.uint64(0x4330000000000000)  # 2^52, whose last bits are a small integer's when that is put there


@inlined
def _log1p_32(x):
    y = _F32(_F32(1) + x)
    bits = y.view(np.uint32)
    whole = np.uint32(np.uint32(bits - _SQRT_HALF_BITS_32) >> _MANTISSA_32)  # y is at least 1: this is not below 0
    k = _F32(np.int32(whole))
    f = np.uint32(bits - np.uint32(whole << _MANTISSA_32)).view(np.float32) - _F32(1)
    s = f / (_F32(2) + f)
    z = s * s
    tail = fma(fma(_L2_32, z, _L1_32), z, _L0_32)
    half_square = _F32(0.5) * f * f
    low = fma(k, _LN2_LOW_32, (x - (y - _F32(1))) / y)
    return k * _LN2_HIGH_32 - ((half_square - fma(s, fma(z, tail, half_square), low)) - f)


@inlined
def _log1p_64(x):
    y = 1.0 + x
    bits = np.float64(y).view(np.uint64)
    whole = np.uint64((bits - _SQRT_HALF_BITS_64) >> _MANTISSA_64)
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


def log1p(x):
    """log(1 + x) of a number of at least 0 and below infinity, or NaN; the error is in tests/test_vecmath.py."""
    return _log1p_32(x) if x.dtype == np.float32 else _log1p_64(x)


@inlined_overload(log1p)
def _log1p_jitted(x):
    return (lambda x: _log1p_32(x)) if x == types.float32 else (lambda x: _log1p_64(x))


@inlined
def exp_each(x, n_vectors):
    # x_j = exp(x_j) of so many vectors, and of one more behind them. By pairs, whose chains of operations need not wait
    # for each other (1797 x 10, AVX2: softmax in 0.95 of the time in float32, 0.92 in float64)
    width = lanes(x)
    if n_vectors % 2 != 0:
        store(splat(x, 0), x, n_vectors * width)
    for j in range(0, n_vectors * width, 2 * width):
        store(exp(load_pair(x, j)), x, j)


@routine
def log1p_each(x, count):
    # x_j = log(1 + x_j), j < count. By itself, where LLVM makes vectors of the loop (inlined for 8 lanes it unrolls it:
    # 1797 x 2 in float64, AVX2: 15 us against 11)
    for j in range(count):
        x[j] = log1p(x[j])
