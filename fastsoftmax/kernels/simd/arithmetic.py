"""What the names of simd/__init__.py that compute are in compiled code: Numba intrinsics, a few LLVM instructions each.

No fast-math flag is set here: an operation does what its name says, NaN and infinity included. llvm.fmuladd is fused on
every CPU that has the instruction.
"""

import operator

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, lower_builtin

from fastsoftmax.kernels.jit.numba_internals import AbstractTemplate, infer_global, signature
from fastsoftmax.kernels.simd.target import has_avx2, has_mask_registers, is_arm64
from fastsoftmax.kernels.simd.types import (
    EIGHTHS,
    INT32,
    MANTISSA,
    Vector,
    call_in,
    first_in,
    joined,
    lane_numbers,
    part_of,
    splat_in,
    vectors_in,
)

__all__ = [
    "as_power",
    "as_power_in_eighths",
    "below",
    "equal",
    "first_lanes",
    "fma",
    "larger",
    "max_of",
    "one_hot",
    "popcount",
    "select",
    "splat",
    "sqrt",
    "sum_of",
    "sums_of_two",
]

_SMALLEST_REGISTER = 128  # bits


@intrinsic
def splat(typingctx, like, value):
    vector = like if isinstance(like, Vector) else Vector(like.dtype)

    def codegen(context, builder, signature, args):
        return splat_in(builder, context.cast(builder, args[1], value, vector.kind), vector.llvm)

    return vector(like, value), codegen


@intrinsic
def first_lanes(typingctx, like, count):
    mask = Vector(like.dtype, is_mask=True)

    def codegen(context, builder, signature, args):
        return first_in(builder, args[1], mask)

    return mask(like, types.intp), codegen


@intrinsic
def one_hot(typingctx, array, lane, value):
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        lane = splat_in(builder, builder.trunc(args[1], INT32), ir.VectorType(INT32, vector.count))
        mask = builder.icmp_signed("==", lane_numbers(vector.count), lane)
        hot = splat_in(builder, context.cast(builder, args[2], value, array.dtype), vector.llvm)
        return builder.select(mask, hot, ir.Constant(vector.llvm, None))

    return vector(array, types.intp, value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    vector = next((t for t in (a, b, c) if isinstance(t, Vector)), None)
    if vector is None:
        return (a(a, b, c), _fma_of_floats) if a == b == c and isinstance(a, types.Float) else None

    def codegen(context, builder, signature, args):
        return call_in(
            builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, vectors_in(builder, vector, (a, b, c), args)
        )

    return vector(a, b, c), codegen


def _fma_of_floats(context, builder, signature, args):
    kind = signature.return_type
    return call_in(builder, f"llvm.fmuladd.f{kind.bitwidth}", context.get_value_type(kind), args)


@intrinsic
def sqrt(typingctx, vector):
    def codegen(context, builder, signature, args):
        return call_in(builder, f"llvm.sqrt.{vector.suffix}", vector.llvm, args)

    return vector(vector), codegen


def _arithmetic(operation, instruction):
    @infer_global(operation)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            vector = next((t for t in args if isinstance(t, Vector)), None)
            if vector is not None and all(t in (vector, vector.kind) for t in args):
                return signature(vector, *args)
            return None

    def lowered(context, builder, sig, args):
        return getattr(builder, instruction)(*vectors_in(builder, sig.return_type, sig.args, args))

    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(operation, *pair)(lowered)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


def _comparison(relation, result):
    """An intrinsic that compares lane by lane; result says what it makes of the mask."""

    @intrinsic
    def compared(typingctx, a, b):
        vector = a if isinstance(a, Vector) else b

        def codegen(context, builder, signature, args):
            x, y = vectors_in(builder, vector, (a, b), args)
            mask = builder.fcmp_ordered(relation, x, y)
            return mask if result is None else result(builder, mask, x, y)

        return Vector(vector.kind, result is None, vector.is_pair)(a, b), codegen

    return compared


larger = _comparison(">", lambda builder, mask, a, b: builder.select(mask, a, b))
below = _comparison("<", None)
equal = _comparison("==", None)


@intrinsic
def select(typingctx, mask, a, b):
    vector = Vector(mask.kind, is_pair=mask.is_pair)

    def codegen(context, builder, signature, args):
        return builder.select(args[0], *vectors_in(builder, vector, (a, b), args[1:]))

    return vector(mask, a, b), codegen


@intrinsic
def popcount(typingctx, mask):
    def codegen(context, builder, signature, args):
        bits = ir.IntType(mask.count)
        counted = call_in(builder, f"llvm.ctpop.i{mask.count}", bits, [builder.bitcast(args[0], bits)])
        return builder.zext(counted, ir.IntType(64))

    return types.intp(mask), codegen


@intrinsic
def as_power(typingctx, vector):
    def codegen(context, builder, signature, args):
        bits = ir.VectorType(ir.IntType(vector.kind.bitwidth), vector.count)
        width = ir.Constant(bits, [MANTISSA[vector.kind]] * vector.count)
        return builder.bitcast(builder.shl(builder.bitcast(args[0], bits), width), vector.llvm)

    return vector(vector), codegen


@intrinsic
def as_power_in_eighths(typingctx, vector):
    if vector.kind != types.float32:
        return None

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(INT32, vector.count)
        bits = builder.bitcast(args[0], kind)
        shifted = builder.shl(bits, ir.Constant(kind, [20] * vector.count))
        return builder.bitcast(builder.add(shifted, _looked_up(context, builder, bits)), vector.llvm)

    return vector(vector), codegen


def _looked_up(context, builder, bits):
    """For each integer the number of EIGHTHS that its last three bits tell."""
    count = 8 if has_avx2(context) else 4 if is_arm64(context) else 16
    count = 16 if has_mask_registers(context) else count
    starts = range(0, bits.type.count, count)
    parts = [_looked_up_in(context, builder, part_of(builder, bits, start, count)) for start in starts]
    while len(parts) > 1:
        parts = [joined(builder, *pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _looked_up_in(context, builder, bits):
    count = bits.type.count
    table = [ir.Constant(bits.type, [number] * count) for number in EIGHTHS]
    if has_mask_registers(context):
        return call_in(
            builder, "llvm.x86.avx512.permvar.si.512", bits.type, [ir.Constant(bits.type, EIGHTHS * 2), bits]
        )
    if has_avx2(context):
        return call_in(builder, "llvm.x86.avx2.permd", bits.type, [ir.Constant(bits.type, EIGHTHS), bits])
    if is_arm64(context):  # a lookup of bytes
        bytes_ = ir.VectorType(ir.IntType(8), 16)
        low, high = (builder.bitcast(ir.Constant(bits.type, EIGHTHS[i : i + 4]), bytes_) for i in (0, 4))
        last = builder.and_(bits, ir.Constant(bits.type, [7] * count))
        first_byte = builder.mul(last, ir.Constant(bits.type, [0x04040404] * count))
        numbers = builder.add(first_byte, ir.Constant(bits.type, [0x03020100] * count))
        found = call_in(builder, "llvm.aarch64.neon.tbl2.v16i8", bytes_, [low, high, builder.bitcast(numbers, bytes_)])
        return builder.bitcast(found, bits.type)
    for bit in (1, 2, 4):  # by halves
        one = builder.and_(bits, ir.Constant(bits.type, [bit] * count))
        is_set = builder.icmp_unsigned("!=", one, ir.Constant(bits.type, None))
        table = [builder.select(is_set, high, low) for low, high in zip(table[::2], table[1::2], strict=True)]
    return table[0]


def _folded(step):
    """An intrinsic that joins the halves of a vector until one element is left."""

    @intrinsic
    def folded(typingctx, vector):
        def codegen(context, builder, signature, args):
            value, count = args[0], vector.count
            while count > 1:
                count //= 2
                kind = ir.VectorType(INT32, count)
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(kind, list(range(start, start + count))))
                    for start in (0, count)
                )
                value = step(builder, low, high)
            return builder.extract_element(value, INT32(0))

        return vector.kind(vector), codegen

    return folded


sum_of = _folded(lambda builder, a, b: builder.fadd(a, b))
max_of = _folded(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@intrinsic
def sums_of_two(typingctx, a, b):
    def codegen(context, builder, signature, args):
        both, n = joined(builder, *args), a.count  # n elements of a, n of b
        while n * a.kind.bitwidth > _SMALLEST_REGISTER:
            n //= 2
            low, high = ([start + k for start in (at, 2 * n + at) for k in range(n)] for at in (0, n))
            both = builder.fadd(_ordered(builder, both, low), _ordered(builder, both, high))
        distance = n // 2
        while distance:  # no element fewer: that would be one more instruction
            swapped = _ordered(builder, both, [k ^ distance for k in range(2 * n)])
            both, distance = builder.fadd(both, swapped), distance // 2
        both = builder.fadd(both, ir.Constant(both.type, None))
        filled = [_ordered(builder, both, [at] * a.count) for at in (0, n)]
        return context.make_tuple(builder, signature.return_type, filled)

    return types.UniTuple(a, 2)(a, b), codegen


def _ordered(builder, value, order):
    return builder.shuffle_vector(value, value, ir.Constant(ir.VectorType(INT32, len(order)), order))
