"""Branch-free primitives that vectorise, for float32 and float64: exp, log1p, maximum, and the reductions of one row.

A constant of the wrong dtype would turn float32 arithmetic into float64, so each dtype has its own exp with its own
constants. Sums run over chunks of CHUNK elements, in vector lanes, and the chunks are added in float64 with
compensation: the error of a sum does not grow with the length of the row, and its bits depend on nothing but the row.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numba.np import arrayobj

from fastsoftmax.kernels._jit import kernel, reduction

CHUNK = 512

# exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, exp(r) = 1 + r + r^2 q(r).
# q minimises the relative error of exp(r) (weighted least squares at Chebyshev points, 50 digits).
# n comes from adding 1.5 * 2^(mantissa bits): the sum's last bits are n. ln 2 in two parts keeps r exact.
# The scaling by 2^n is split into 2^a 2^b, so that results below the normal range round once and stay right.
_F32 = np.float32
_LOWEST_32, _HIGHEST_32 = _F32(-104.0), _F32(89.0)  # exp is 0 below, inf above
_LOG2E_32, _MAGIC_32 = _F32(1.4426950408889634), _F32(12582912.0)
_LN2_HIGH_32, _LN2_LOW_32 = _F32(0.693359375), _F32(-2.1219444005469057e-4)
_Q0_32, _Q1_32, _Q2_32 = _F32(0.49999988588395919), _F32(0.16666518401084200), _F32(0.041669534224940944)
_Q3_32, _Q4_32 = _F32(0.0083689234272025571), _F32(0.0013751382142456273)
_ONE_32 = _F32(1.0)
_MAGIC_BITS_32, _ONE_BITS_32 = np.int32(0x4B400000), np.int32(0x3F800000)

_LOWEST_64, _HIGHEST_64 = -746.0, 710.0
_LOG2E_64, _MAGIC_64 = 1.4426950408889634, 6755399441055744.0
_LN2_HIGH_64, _LN2_LOW_64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_Q_64 = (
    0.50000000000000127398, 0.16666666666666482249, 0.041666666666516202904, 0.0083333333334515279565,
    0.0013888888946713305285, 0.00019841269596971037747, 2.480149030763859717e-05, 2.7557507361975542197e-06,
    2.7631140150201756818e-07, 2.5024639266311035283e-08,
)  # fmt: skip
_MAGIC_BITS_64, _ONE_BITS_64 = np.int64(0x4338000000000000), np.int64(0x3FF0000000000000)


@kernel
def _exp_f32(x):
    x = select(x < _LOWEST_32, _LOWEST_32, x)  # written so that NaN goes through
    x = select(x > _HIGHEST_32, _HIGHEST_32, x)
    shifted = x * _LOG2E_32 + _MAGIC_32
    n = shifted - _MAGIC_32
    r = x - n * _LN2_HIGH_32 - n * _LN2_LOW_32
    q = (((_Q4_32 * r + _Q3_32) * r + _Q2_32) * r + _Q1_32) * r + _Q0_32
    y = (q * (r * r) + r) + _ONE_32
    bits = np.int32(np.float32(shifted).view(np.int32) - _MAGIC_BITS_32)
    half = np.int32(bits >> 1)
    rest = np.int32(bits - half)
    power_a = np.int32(np.int32(half << 23) + _ONE_BITS_32).view(np.float32)
    power_b = np.int32(np.int32(rest << 23) + _ONE_BITS_32).view(np.float32)
    return (y * power_a) * power_b


@kernel
def _exp_f64(x):
    x = select(x < _LOWEST_64, _LOWEST_64, x)
    x = select(x > _HIGHEST_64, _HIGHEST_64, x)
    shifted = x * _LOG2E_64 + _MAGIC_64
    n = shifted - _MAGIC_64
    r = x - n * _LN2_HIGH_64 - n * _LN2_LOW_64
    q = _Q_64[9]
    q = q * r + _Q_64[8]
    q = q * r + _Q_64[7]
    q = q * r + _Q_64[6]
    q = q * r + _Q_64[5]
    q = q * r + _Q_64[4]
    q = q * r + _Q_64[3]
    q = q * r + _Q_64[2]
    q = q * r + _Q_64[1]
    q = q * r + _Q_64[0]
    y = (q * (r * r) + r) + 1.0
    bits = np.float64(shifted).view(np.int64) - _MAGIC_BITS_64
    half = bits >> 1
    rest = bits - half
    power_a = np.int64((half << 52) + _ONE_BITS_64).view(np.float64)
    power_b = np.int64((rest << 52) + _ONE_BITS_64).view(np.float64)
    return (y * power_a) * power_b


def exp(x):
    """exp(x) of one float32 or float64, in its own dtype; error below 1.1 ULP (tests/test_vecmath.py)."""
    return _exp_f32(x) if isinstance(x, np.float32) else _exp_f64(np.float64(x))


@overload(exp, inline="never")
def _exp_jitted(x):
    if x == types.float32:
        return lambda x: _exp_f32(x)
    if x == types.float64:
        return lambda x: _exp_f64(x)
    return None


# log1p(x) = log y + (x - (y - 1)) / y with y = 1 + x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and, s = f / (2 + f),
# log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 l(s^2)); l fitted as q above.
_L_64 = (
    0.66666666666667364183, 0.39999999999404346638, 0.2857142874431536638, 0.22222198399655023501,
    0.18183572470135385936, 0.15313858533348901814, 0.14797746947610200058,
)  # fmt: skip
_SQRT_HALF_BITS_64 = np.int64(0x3FE6A09E667F3BCD)


@kernel
def log1p(x):
    """log(1 + x) of a float64 of at least 0 and below infinity, or NaN; error below 1.1 ULP (tests/test_vecmath.py)."""
    y = 1.0 + x
    bits = np.float64(y).view(np.int64)
    k = (bits - _SQRT_HALF_BITS_64) >> 52
    f = np.int64(bits - (k << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = _L_64[6]
    tail = tail * z + _L_64[5]
    tail = tail * z + _L_64[4]
    tail = tail * z + _L_64[3]
    tail = tail * z + _L_64[2]
    tail = tail * z + _L_64[1]
    tail = tail * z + _L_64[0]
    half_square = 0.5 * f * f
    low = k * _LN2_LOW_64 + (x - (y - 1.0)) / y
    return k * _LN2_HIGH_64 - ((half_square - (s * (half_square + z * tail) + low)) - f)


def maximum(a, b):
    """The larger of two floats; NaN if either is."""
    return np.maximum(a, b)


@overload(maximum)
def _maximum_jitted(a, b):
    return lambda a, b: _llvm_maximum(a, b)


@intrinsic
def _llvm_maximum(typingctx, a, b):
    # `a if a > b else b` stays scalar in a reduction (1.8 elements/ns against 14 for this one).
    def codegen(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        function = builder.module.declare_intrinsic("llvm.maximum", [kind], ir.FunctionType(kind, [kind, kind]))
        return builder.call(function, args)

    return (a(a, b), codegen) if a == b and isinstance(a, types.Float) else None


def select(condition, a, b):
    """A where the condition holds, else b, without a branch."""
    return a if condition else b


@overload(select)
def _select_jitted(condition, a, b):
    return lambda condition, a, b: _llvm_select(condition, a, b)


@intrinsic
def _llvm_select(typingctx, condition, a, b):
    # Two `a if condition else b` in one loop become branches, and the loop stays scalar (0.3 elements/ns against 5).
    def codegen(context, builder, signature, args):
        return builder.select(*args)

    return (a(types.boolean, a, b), codegen) if a == b and isinstance(a, types.Float) else None


def part(array, start, count):
    """`count` elements of a C-contiguous array from the flat position `start` on, as a 1-D view."""
    return array.reshape(-1)[start : start + count]


@overload(part)
def _part_jitted(array, start, count):
    return lambda array, start, count: _borrowed_part(array, start, count)


@intrinsic
def _borrowed_part(typingctx, array, start, count):
    # A slice counts its references atomically, some ten times a row (125 ns a row of 10 against 30 for this one).
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None
    view = array.copy(ndim=1)

    def codegen(context, builder, signature, args):
        source = context.make_array(array)(context, builder, args[0])
        result = context.make_array(view)(context, builder)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        arrayobj.populate_array(
            result, builder.gep(source.data, [args[1]]), [args[2]], [itemsize], itemsize, meminfo=None, parent=None
        )
        return result._getvalue()

    return view(array, types.intp, types.intp), codegen


def row(array, n):
    """Row n of a C-contiguous matrix, as `part` gives it."""
    return part(array, n * array.shape[1], array.shape[1])


@overload(row)
def _row_jitted(array, n):
    return lambda array, n: part(array, n * array.shape[1], array.shape[1])


@kernel
def max_row(x):
    # x (C,) -> max_j x_j; -inf for an empty row, NaN if any is
    top = x.dtype.type(-np.inf)
    for j in range(x.shape[0]):
        top = maximum(top, x[j])
    return top


@kernel
def sum_row(x):
    # x (C,) -> sum_j x_j, a float64
    total, lost = 0.0, 0.0
    for start in range(0, x.shape[0], CHUNK):
        count = min(CHUNK, x.shape[0] - start)
        total, lost = add(total, lost, _sum_chunk(part(x, start, count)))
    return finish(total, lost)


@kernel
def dot_row(x, y):
    # x (C,), y (C,) -> sum_j x_j y_j, a float64
    total, lost = 0.0, 0.0
    for start in range(0, x.shape[0], CHUNK):
        count = min(CHUNK, x.shape[0] - start)
        total, lost = add(total, lost, dot_chunk(part(x, start, count), part(y, start, count)))
    return finish(total, lost)


@kernel
def exp_row(x, top, temperature, out):
    # x (C,), top its maximum, temperature a number or None -> out_j = e_j = exp((x_j - top) / temperature);
    # returns sum_j e_j - 1, a float64 (see rest_row). out may be x itself.
    total, lost = 0.0, 0.0
    for start in range(0, x.shape[0], CHUNK):
        count = min(CHUNK, x.shape[0] - start)
        chunk = part(out, start, count)
        distance_row(part(x, start, count), top, temperature, chunk)
        exp_each(chunk)
        rest = rest_row(chunk)
        total, lost = add(total, lost, rest if start == 0 else rest + 1.0)
    return finish(total, lost)


@kernel
def distance_row(x, top, temperature, out):
    # out_j = (x_j - top) / temperature
    for j in range(x.shape[0]):
        out[j] = x[j] - top
    if temperature is not None:
        for j in range(x.shape[0]):
            out[j] = out[j] / temperature


@kernel
def exp_each(x):
    # x_j = exp(x_j)
    for j in range(x.shape[0]):
        x[j] = exp(x[j])


@kernel
def rest_row(e):
    # e (C,), C <= CHUNK -> sum_j e_j - 1, a float64. The ones are counted and the others added up apart, so that log1p
    # of it keeps the digits that 1 + tiny would lose.
    if e.shape[0] == 0:
        return 0.0  # a row of nothing: log1p of it is nothing to add
    ones, others = _ones_and_others(e)
    return (np.float64(ones) - 1.0) + np.float64(others)


@reduction
def _ones_and_others(e):
    zero, one = e.dtype.type(0), e.dtype.type(1)
    ones, others = zero, zero
    for j in range(e.shape[0]):
        ones += select(e[j] == one, one, zero)
        others += select(e[j] == one, zero, e[j])
    return ones, others


@reduction
def _sum_chunk(x):
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j]
    return total


@reduction
def dot_chunk(x, y):
    # x (C,), y (C,) -> sum_j x_j y_j in one go, in their dtype
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j] * y[j]
    return total


@kernel
def add(total, lost, term):
    # Two-sum (Knuth, TAOCP 2, 4.2.2): total + term, and in `lost` what that rounding dropped.
    larger = total + term
    part = larger - total
    return larger, lost + ((total - (larger - part)) + (term - part))


@kernel
def finish(total, lost):
    return total if np.isnan(lost) else total + lost  # inf - inf makes lost NaN where the sum is inf
