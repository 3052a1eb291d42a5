"""What the names of simd.py are in compiled code: Numba intrinsics, a few LLVM instructions each.

No fast-math flag is set here: an operation does what its name says, NaN and infinity included. llvm.fmuladd lets the
target fuse a multiplication with an addition where it can.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models, register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

__all__ = [
    "as_power",
    "below",
    "choose",
    "drain",
    "either",
    "equal",
    "first_lanes",
    "fma",
    "how_many",
    "lanes",
    "larger",
    "load",
    "load_mask",
    "load_some",
    "max_of",
    "misaligned",
    "one_hot",
    "pointer",
    "prefetch",
    "room",
    "splat",
    "store",
    "store_some",
    "stream",
    "sum_of",
    "transpose",
]

VECTOR_BITS = 512
_INT32 = ir.IntType(32)
_MANTISSA = {types.float32: 23, types.float64: 52}


class Vector(types.Type):
    """As many floats, or bools of a mask, as fill one vector of `kind` (float32 or float64)."""

    def __init__(self, kind, is_mask=False):
        self.kind, self.is_mask = kind, is_mask
        self.count = VECTOR_BITS // kind.bitwidth
        super().__init__(name=f"{'Mask' if is_mask else 'Vector'}({kind})")

    @property
    def llvm(self):
        """The LLVM type."""
        element = ir.FloatType() if self.kind == types.float32 else ir.DoubleType()
        return ir.VectorType(ir.IntType(1) if self.is_mask else element, self.count)

    @property
    def suffix(self):
        """How LLVM spells the type in the name of an overloaded function."""
        return f"v{self.count}f{self.kind.bitwidth}"


@register_default(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, fe_type.llvm)


def _splat(builder, value, kind):
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT32(0))
    zeros = ir.Constant(ir.VectorType(_INT32, kind.count), None)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def _vectors(builder, vector, types_given, values):
    """The values as vectors: what is a scalar fills one."""
    return [
        v if isinstance(t, Vector) else _splat(builder, v, vector.llvm)
        for t, v in zip(types_given, values, strict=True)
    ]


def _lane_numbers(count):
    return ir.Constant(ir.VectorType(_INT32, count), list(range(count)))


def _first(builder, count, vector):
    """The mask of the first `count` lanes."""
    count = builder.trunc(count, _INT32)
    return builder.icmp_signed(
        "<", _lane_numbers(vector.count), _splat(builder, count, ir.VectorType(_INT32, vector.count))
    )


def _pointer(context, builder, array, value, position, kind):
    return builder.bitcast(builder.gep(value, [position], inbounds=True), kind.as_pointer())


def _call(builder, name, result, args):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def _is_row_of_floats(array):
    return isinstance(array, types.CPointer) and array.dtype in _MANTISSA


@intrinsic
def pointer(typingctx, array):
    if isinstance(array, types.NoneType):
        return types.none(array), lambda context, builder, signature, args: context.get_dummy_value()
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context, builder, signature, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def room(typingctx, like):
    vector = Vector(like.dtype)

    def codegen(context, builder, signature, args):
        place = cgutils.alloca_once(builder, vector.llvm, size=_INT32(vector.count))
        return builder.bitcast(place, context.get_value_type(types.CPointer(like.dtype)))

    return types.CPointer(like.dtype)(like), codegen


@intrinsic
def either(typingctx, condition, a, b):
    def codegen(context, builder, signature, args):
        if isinstance(b, types.NoneType):
            return context.get_dummy_value()
        return builder.select(args[0], *args[1:])

    return b(types.boolean, a, b), codegen


@intrinsic
def lanes(typingctx, array):
    count = VECTOR_BITS // array.dtype.bitwidth

    def codegen(context, builder, signature, args):
        return context.get_constant(types.intp, count)

    return types.intp(array), codegen


@intrinsic
def load(typingctx, array, position):
    if not _is_row_of_floats(array):
        return None
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args, vector.llvm)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def load_some(typingctx, array, position, count, fill):
    if not _is_row_of_floats(array):
        return None
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[:2], vector.llvm)
        align, mask = _INT32(array.dtype.bitwidth // 8), _first(builder, args[2], vector)
        rest = _splat(builder, context.cast(builder, args[3], fill, array.dtype), vector.llvm)
        return _call(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [pointer, align, mask, rest])

    return vector(array, types.intp, types.intp, fill), codegen


@intrinsic
def load_mask(typingctx, array, position, count, like):
    mask = Vector(like.dtype, is_mask=True)

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(ir.IntType(8), mask.count)
        pointer = _pointer(context, builder, array, *args[:2], kind)
        none = ir.Constant(kind, None)
        name = f"llvm.masked.load.v{mask.count}i8.p0"
        taken = _call(builder, name, kind, [pointer, _INT32(1), _first(builder, args[2], mask), none])
        return builder.icmp_unsigned("!=", taken, none)

    return mask(array, types.intp, types.intp, like), codegen


@intrinsic
def store(typingctx, vector, array, position):
    def codegen(context, builder, signature, args):
        builder.store(
            args[0], _pointer(context, builder, array, *args[1:], vector.llvm), align=vector.kind.bitwidth // 8
        )
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def store_some(typingctx, vector, array, position, count):
    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[1:3], vector.llvm)
        align, mask = _INT32(vector.kind.bitwidth // 8), _first(builder, args[3], vector)
        _call(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [args[0], pointer, align, mask])
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), codegen


@intrinsic
def stream(typingctx, vector, array, position):
    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[1:], vector.llvm)
        stored = builder.store(args[0], pointer, align=VECTOR_BITS // 8)
        stored.set_metadata("nontemporal", builder.module.add_metadata([_INT32(1)]))
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def prefetch(typingctx, array, position):
    def codegen(context, builder, signature, args):
        place = builder.gep(args[0], [args[1]])  # may be past the end: a prefetch never faults
        place = builder.bitcast(place, ir.IntType(8).as_pointer())
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [place, _INT32(0), _INT32(2), _INT32(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def misaligned(typingctx, array, position):
    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args, ir.IntType(8))
        address = builder.ptrtoint(pointer, ir.IntType(64))
        past = builder.and_(address, ir.Constant(address.type, VECTOR_BITS // 8 - 1))
        return builder.udiv(past, ir.Constant(address.type, array.dtype.bitwidth // 8))

    return types.intp(array, types.intp), codegen


@intrinsic
def drain(typingctx):
    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def splat(typingctx, like, value):
    vector = like if isinstance(like, Vector) else Vector(like.dtype)

    def codegen(context, builder, signature, args):
        return _splat(builder, context.cast(builder, args[1], value, vector.kind), vector.llvm)

    return vector(like, value), codegen


@intrinsic
def first_lanes(typingctx, like, count):
    mask = Vector(like.dtype, is_mask=True)

    def codegen(context, builder, signature, args):
        return _first(builder, args[1], mask)

    return mask(like, types.intp), codegen


@intrinsic
def one_hot(typingctx, array, lane, value):
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        lane = _splat(builder, builder.trunc(args[1], _INT32), ir.VectorType(_INT32, vector.count))
        mask = builder.icmp_signed("==", _lane_numbers(vector.count), lane)
        hot = _splat(builder, context.cast(builder, args[2], value, array.dtype), vector.llvm)
        return builder.select(mask, hot, ir.Constant(vector.llvm, None))

    return vector(array, types.intp, value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    vector = next((t for t in (a, b, c) if isinstance(t, Vector)), None)
    if vector is None:
        return None

    def codegen(context, builder, signature, args):
        return _call(builder, f"llvm.fmuladd.{vector.suffix}", vector.llvm, _vectors(builder, vector, (a, b, c), args))

    return vector(a, b, c), codegen


def _arithmetic(operation, instruction):
    @infer_global(operation)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            vector = next((t for t in args if isinstance(t, Vector)), None)
            if vector is not None and all(t in (vector, vector.kind) for t in args):
                return signature(vector, *args)
            return None

    def lowered(context, builder, sig, args):
        return getattr(builder, instruction)(*_vectors(builder, sig.return_type, sig.args, args))

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
            x, y = _vectors(builder, vector, (a, b), args)
            mask = builder.fcmp_ordered(relation, x, y)
            return mask if result is None else result(builder, mask, x, y)

        return (Vector(vector.kind, result is None))(a, b), codegen

    return compared


larger = _comparison(">", lambda builder, mask, a, b: builder.select(mask, a, b))
below = _comparison("<", None)
equal = _comparison("==", None)


@intrinsic
def choose(typingctx, mask, a, b):
    vector = Vector(mask.kind)

    def codegen(context, builder, signature, args):
        return builder.select(args[0], *_vectors(builder, vector, (a, b), args[1:]))

    return vector(mask, a, b), codegen


@intrinsic
def how_many(typingctx, mask):
    def codegen(context, builder, signature, args):
        bits = ir.IntType(mask.count)
        counted = _call(builder, f"llvm.ctpop.i{mask.count}", bits, [builder.bitcast(args[0], bits)])
        return builder.zext(counted, ir.IntType(64))

    return types.intp(mask), codegen


@intrinsic
def as_power(typingctx, vector):
    def codegen(context, builder, signature, args):
        bits = ir.VectorType(ir.IntType(vector.kind.bitwidth), vector.count)
        width = ir.Constant(bits, [_MANTISSA[vector.kind]] * vector.count)
        return builder.bitcast(builder.shl(builder.bitcast(args[0], bits), width), vector.llvm)

    return vector(vector), codegen


def _folded(step):
    """An intrinsic that joins the halves of a vector until one element is left."""

    @intrinsic
    def folded(typingctx, vector):
        def codegen(context, builder, signature, args):
            value, count = args[0], vector.count
            while count > 1:
                count //= 2
                kind = ir.VectorType(_INT32, count)
                low, high = (
                    builder.shuffle_vector(value, value, ir.Constant(kind, list(range(start, start + count))))
                    for start in (0, count)
                )
                value = step(builder, low, high)
            return builder.extract_element(value, _INT32(0))

        return vector.kind(vector), codegen

    return folded


sum_of = _folded(lambda builder, a, b: builder.fadd(a, b))
max_of = _folded(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


@intrinsic
def transpose(typingctx, source, position, stride, rows, columns, target, target_position, target_stride):
    if not _is_row_of_floats(source):
        return None
    vector = Vector(source.dtype)

    def codegen(context, builder, signature, args):
        x, position, stride, rows, columns, y, target_position, target_stride = args
        align = _INT32(vector.kind.bitwidth // 8)
        number = position.type
        none = ir.Constant(number, 0)
        tile = []
        for r in range(vector.count):
            here = builder.add(position, builder.mul(stride, number(r)))
            inside = builder.icmp_signed("<", number(r), rows)
            mask = _first(builder, builder.select(inside, columns, none), vector)
            place = _pointer(context, builder, source, x, builder.select(inside, here, position), vector.llvm)
            empty = ir.Constant(vector.llvm, None)
            tile.append(
                _call(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [place, align, mask, empty])
            )
        # swap blocks of width 1, 2, 4, 8 between pairs of rows that far apart
        width = 1
        while width < vector.count:
            swapped = list(tile)
            low = [i + (vector.count if i & width else 0) - (width if i & width else 0) for i in range(vector.count)]
            high = [(i if i & width else i + width) + (vector.count if i & width else 0) for i in range(vector.count)]
            kind = ir.VectorType(_INT32, vector.count)
            for r in range(vector.count):
                if not r & width:
                    a, b = tile[r], tile[r + width]
                    swapped[r] = builder.shuffle_vector(a, b, ir.Constant(kind, low))
                    swapped[r + width] = builder.shuffle_vector(a, b, ir.Constant(kind, high))
            tile = swapped
            width *= 2
        for c in range(vector.count):
            here = builder.add(target_position, builder.mul(target_stride, number(c)))
            inside = builder.icmp_signed("<", number(c), columns)
            mask = _first(builder, builder.select(inside, rows, none), vector)
            place = _pointer(context, builder, target, y, builder.select(inside, here, target_position), vector.llvm)
            _call(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [tile[c], place, align, mask])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, i, target, i, i), codegen
