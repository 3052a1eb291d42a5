"""What the names of simd.py that touch memory are in compiled code: Numba intrinsics, a few LLVM instructions each."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastsoftmax.kernels._simd_types import (
    INT32,
    VECTOR_BITS,
    ReadOnlyPointer,
    Vector,
    call_in,
    check_writable,
    first_in,
    is_pointer_to_floats,
    place_in,
    prefetch_in,
    splat_in,
)

__all__ = [
    "drain",
    "either",
    "lanes",
    "load",
    "load_mask",
    "load_some",
    "misaligned",
    "pointer",
    "prefetch",
    "room",
    "store",
    "store_some",
    "stream",
    "transpose",
]


@intrinsic
def pointer(typingctx, array):
    if isinstance(array, types.NoneType):
        return types.none(array), lambda context, builder, signature, args: context.get_dummy_value()
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None

    def codegen(context, builder, signature, args):
        return context.make_array(array)(context, builder, args[0]).data

    kind = types.CPointer if array.mutable else ReadOnlyPointer
    return kind(array.dtype)(array), codegen


@intrinsic
def room(typingctx, like):
    vector = Vector(like.dtype)

    def codegen(context, builder, signature, args):
        place = cgutils.alloca_once(builder, vector.llvm, size=INT32(vector.count))
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
    if not is_pointer_to_floats(array):
        return None
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args, vector.llvm)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def load_some(typingctx, array, position, count, fill):
    if not is_pointer_to_floats(array):
        return None
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args[:2], vector.llvm)
        align, mask = INT32(array.dtype.bitwidth // 8), first_in(builder, args[2], vector)
        rest = splat_in(builder, context.cast(builder, args[3], fill, array.dtype), vector.llvm)
        return call_in(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [pointer, align, mask, rest])

    return vector(array, types.intp, types.intp, fill), codegen


@intrinsic
def load_mask(typingctx, array, position, count, like):
    mask = Vector(like.dtype, is_mask=True)

    def codegen(context, builder, signature, args):
        kind = ir.VectorType(ir.IntType(8), mask.count)
        pointer = place_in(context, builder, array, *args[:2], kind)
        none = ir.Constant(kind, None)
        name = f"llvm.masked.load.v{mask.count}i8.p0"
        taken = call_in(builder, name, kind, [pointer, INT32(1), first_in(builder, args[2], mask), none])
        return builder.icmp_unsigned("!=", taken, none)

    return mask(array, types.intp, types.intp, like), codegen


@intrinsic
def store(typingctx, vector, array, position):
    check_writable(array)

    def codegen(context, builder, signature, args):
        builder.store(
            args[0], place_in(context, builder, array, *args[1:], vector.llvm), align=vector.kind.bitwidth // 8
        )
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def store_some(typingctx, vector, array, position, count):
    check_writable(array)

    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args[1:3], vector.llvm)
        align, mask = INT32(vector.kind.bitwidth // 8), first_in(builder, args[3], vector)
        call_in(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [args[0], pointer, align, mask])
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), codegen


@intrinsic
def stream(typingctx, vector, array, position):
    check_writable(array)

    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args[1:], vector.llvm)
        stored = builder.store(args[0], pointer, align=VECTOR_BITS // 8)
        stored.set_metadata("nontemporal", builder.module.add_metadata([INT32(1)]))
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def prefetch(typingctx, array, position):
    def codegen(context, builder, signature, args):
        prefetch_in(builder, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


@intrinsic
def misaligned(typingctx, array, position):
    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args, ir.IntType(8))
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
def transpose(typingctx, source, position, stride, rows, columns, target, target_position, target_stride):
    if not is_pointer_to_floats(source):
        return None
    check_writable(target)
    vector = Vector(source.dtype)

    def codegen(context, builder, signature, args):
        x, position, stride, rows, columns, y, target_position, target_stride = args
        align = INT32(vector.kind.bitwidth // 8)
        number = position.type
        none = ir.Constant(number, 0)
        tile = []
        for r in range(vector.count):
            here = builder.add(position, builder.mul(stride, number(r)))
            inside = builder.icmp_signed("<", number(r), rows)
            mask = first_in(builder, builder.select(inside, columns, none), vector)
            place = place_in(context, builder, source, x, builder.select(inside, here, position), vector.llvm)
            empty = ir.Constant(vector.llvm, None)
            tile.append(
                call_in(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [place, align, mask, empty])
            )
        # swap blocks of width 1, 2, 4, 8 between pairs of rows that far apart
        width = 1
        while width < vector.count:
            swapped = list(tile)
            low = [i + (vector.count if i & width else 0) - (width if i & width else 0) for i in range(vector.count)]
            high = [(i if i & width else i + width) + (vector.count if i & width else 0) for i in range(vector.count)]
            kind = ir.VectorType(INT32, vector.count)
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
            mask = first_in(builder, builder.select(inside, rows, none), vector)
            place = place_in(context, builder, target, y, builder.select(inside, here, target_position), vector.llvm)
            call_in(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [tile[c], place, align, mask])
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i, i, i, target, i, i), codegen
