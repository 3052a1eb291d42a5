"""What the names of simd/__init__.py that touch memory are in compiled code: a few LLVM instructions each."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit.numba_internals import cgutils
from fastsoftmax.kernels.simd import target
from fastsoftmax.kernels.simd.types import (
    INT32,
    TILE_VECTORS,
    TILED_ROWS,
    VECTOR_BITS,
    ReadOnlyPointer,
    Vector,
    call_in,
    check_writable,
    first_in,
    is_pointer_to_floats,
    load_first,
    place_in,
    prefetch_in,
    splat_in,
    store_first,
)

__all__ = [
    "converts_halves",
    "either",
    "lanes",
    "load",
    "load_halves",
    "load_mask",
    "load_masked",
    "load_pair",
    "misaligned",
    "must_be_writable",
    "pointer",
    "prefetch",
    "stack_column",
    "stack_square",
    "stack_tiles",
    "store",
    "store_fence",
    "store_halves",
    "store_masked",
    "store_nontemporal",
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


def on_stack(n_vectors):
    """A function of an array that is, in compiled code, a pointer to so many vectors of its dtype on the stack."""

    @intrinsic
    def stack(typingctx, like):
        vector = Vector(like.dtype)

        def codegen(context, builder, signature, args):
            place = cgutils.alloca_once(builder, vector.llvm, size=INT32(n_vectors(vector)))
            return builder.bitcast(place, context.get_value_type(types.CPointer(like.dtype)))

        return types.CPointer(like.dtype)(like), codegen

    return stack


stack_square = on_stack(lambda vector: vector.count)
stack_column = on_stack(lambda vector: TILED_ROWS // vector.count)
stack_tiles = on_stack(lambda vector: TILE_VECTORS + 4)


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
def load_pair(typingctx, array, position):
    if not is_pointer_to_floats(array):
        return None
    vector = Vector(array.dtype, is_pair=True)

    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args, vector.llvm)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def load_masked(typingctx, array, position, count, fill):
    if not is_pointer_to_floats(array):
        return None
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, args):
        rest = splat_in(builder, context.cast(builder, args[3], fill, array.dtype), vector.llvm)
        return load_first(context, builder, vector, builder.gep(args[0], [args[1]], inbounds=True), args[2], rest)

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
def store_masked(typingctx, vector, array, position, count):
    check_writable(array)

    def codegen(context, builder, signature, args):
        address = builder.gep(args[1], [args[2]], inbounds=True)
        store_first(context, builder, vector, args[0], address, args[3])
        return context.get_dummy_value()

    return types.void(vector, array, types.intp, types.intp), codegen


@intrinsic
def converts_halves(typingctx):
    def codegen(context, builder, signature, args):
        return context.get_constant(types.boolean, target.converts_halves(context))

    return types.boolean(), codegen


@intrinsic
def load_halves(typingctx, array, position):
    vector = Vector(types.float32)

    def codegen(context, builder, signature, args):
        if not target.converts_halves(context):
            return ir.Constant(vector.llvm, ir.Undefined)  # LLVM would call a function that may not be there
        kind = ir.VectorType(ir.HalfType(), vector.count)
        halves = builder.load(place_in(context, builder, array, *args, kind), align=2)
        return builder.fpext(halves, vector.llvm)

    return vector(array, types.intp), codegen


@intrinsic
def store_halves(typingctx, vector, array, position):
    check_writable(array)

    def codegen(context, builder, signature, args):
        if target.converts_halves(context):
            halves = builder.fptrunc(args[0], ir.VectorType(ir.HalfType(), vector.count))
            builder.store(halves, place_in(context, builder, array, *args[1:], halves.type), align=2)
        return context.get_dummy_value()

    return types.void(vector, array, types.intp), codegen


@intrinsic
def store_nontemporal(typingctx, vector, array, position):
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
def must_be_writable(typingctx, array):
    check_writable(array)

    def codegen(context, builder, signature, args):
        return context.get_dummy_value()

    return types.void(array), codegen


@intrinsic
def misaligned(typingctx, array, position):
    def codegen(context, builder, signature, args):
        pointer = place_in(context, builder, array, *args, ir.IntType(8))
        address = builder.ptrtoint(pointer, ir.IntType(64))
        past = builder.and_(address, ir.Constant(address.type, VECTOR_BITS // 8 - 1))
        return builder.udiv(past, ir.Constant(address.type, array.dtype.bitwidth // 8))

    return types.intp(array, types.intp), codegen


@intrinsic
def store_fence(typingctx):
    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
