"""Vectors and pointers as Numba types, and the LLVM that the operations of the other files share."""

import operator

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from fastsoftmax.kernels.jit.numba_internals import cgutils, errors, models, register_default
from fastsoftmax.kernels.jit.pipeline import Plain
from fastsoftmax.kernels.simd.target import has_mask_registers, has_masked_loads

VECTOR_BITS = 512
TILE_VECTORS = 192  # of tiles (rows side by side, an element of each in a vector) that are worked on together
TILED_ROWS = 128  # the most rows of such tiles
INT32 = ir.IntType(32)
# What is added to (8 E + j) << 20 gives the bits of 2^(E - 127 + j/8)
EIGHTHS = [
    (bits - 0x3F800000 - (j << 20)) % 2**32
    for j, bits in enumerate(
        (0x3F800000, 0x3F8B95C2, 0x3F9837F0, 0x3FA5FED7, 0x3FB504F3, 0x3FC5672A, 0x3FD744FD, 0x3FEAC0C7)
    )
]
MANTISSA = {types.float32: 23, types.float64: 52}


class Vector(Plain):
    """As many floats, or bools of a mask, as fill one vector of `kind` (float32 or float64)."""

    def __init__(self, kind, is_mask=False, is_pair=False):
        self.kind, self.is_mask, self.is_pair = kind, is_mask, is_pair
        self.count = (2 if is_pair else 1) * VECTOR_BITS // kind.bitwidth
        super().__init__(name=f"{'PairOf' if is_pair else ''}{'Mask' if is_mask else 'Vector'}({kind})")

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


class ReadOnlyPointer(Plain):
    """Where the elements of a read-only array are: elements and vectors can be loaded, and nothing can be stored.

    The pointer of a writable array is a types.CPointer.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"ReadOnlyPointer({dtype})")


register_default(ReadOnlyPointer)(models.PointerModel)


@type_callable(operator.getitem)
def _type_of_element(context):
    def typer(pointer, position):
        numbers = isinstance(pointer, ReadOnlyPointer) and isinstance(
            pointer.dtype, types.Number
        )  # a bool is loaded so
        if numbers and isinstance(position, types.Integer):
            return pointer.dtype
        return None

    return typer


@lower_builtin(operator.getitem, ReadOnlyPointer, types.Integer)
def _load_element(context, builder, signature, args):
    position = context.cast(builder, args[1], signature.args[1], types.intp)
    return builder.load(builder.gep(args[0], [position]))


def check_writable(pointer):
    """Raise unless something can be stored where the pointer points to."""
    if isinstance(pointer, ReadOnlyPointer):
        raise errors.TypingError("a read-only array cannot be written")


def splat_in(builder, value, kind):
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, kind.count), None)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)


def vectors_in(builder, vector, types_given, values):
    """The values as vectors: what is a scalar fills one."""
    return [
        v if isinstance(t, Vector) else splat_in(builder, v, vector.llvm)
        for t, v in zip(types_given, values, strict=True)
    ]


def lane_numbers(count):
    return ir.Constant(ir.VectorType(INT32, count), list(range(count)))


def first_in(builder, count, vector):
    """The mask of the first `count` lanes."""
    count = builder.trunc(count, INT32)
    return builder.icmp_signed(
        "<", lane_numbers(vector.count), splat_in(builder, count, ir.VectorType(INT32, vector.count))
    )


def place_in(context, builder, array, value, position, kind):
    return builder.bitcast(builder.gep(value, [position], inbounds=True), kind.as_pointer())


def call_in(builder, name, result, args):
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(function, args)


def prefetch_in(builder, address):
    """Have the line brought into the cache; it may lie outside the array, a prefetch never faults."""
    place = builder.bitcast(address, ir.IntType(8).as_pointer())
    call_in(builder, "llvm.prefetch.p0", ir.VoidType(), [place, INT32(0), INT32(2), INT32(1)])


def load_first(context, builder, vector, address, count, rest):
    """The first `count` elements from the address on, then those of the vector `rest`."""
    if has_masked_loads(context):
        place = builder.bitcast(address, vector.llvm.as_pointer())
        align, mask = INT32(vector.kind.bitwidth // 8), first_in(builder, count, vector)
        return call_in(builder, f"llvm.masked.load.{vector.suffix}.p0", vector.llvm, [place, align, mask, rest])
    result = cgutils.alloca_once(builder, vector.llvm)
    with _whole_or_not(builder, vector, count) as (whole, less):
        with whole:
            builder.store(_load_lanes(builder, vector, address, vector.count), result)
        with less:
            value = part_of(builder, rest, vector.count - 1, 1)  # halves that are there go before those behind them
            for size, at, is_there in reversed(list(_halves(builder, vector, count))):
                part = cgutils.alloca_once_value(builder, part_of(builder, rest, 0, size))
                with builder.if_then(is_there):
                    builder.store(_load_lanes(builder, vector, builder.gep(address, [at]), size), part)
                behind, filled = value, part_of(builder, rest, vector.count - size, size)
                first = builder.select(is_there, builder.load(part), behind)
                value = joined(builder, first, builder.select(is_there, behind, filled))
            builder.store(value, result)
    return builder.load(result)


def store_first(context, builder, vector, value, address, count):
    """Put the first `count` elements of the vector at the address."""
    if has_mask_registers(context):
        place = builder.bitcast(address, vector.llvm.as_pointer())
        align, mask = INT32(vector.kind.bitwidth // 8), first_in(builder, count, vector)
        call_in(builder, f"llvm.masked.store.{vector.suffix}.p0", ir.VoidType(), [value, place, align, mask])
        return
    # Zen 1 to 3: 10 ns for a masked store of 64 bytes, 2.5 for a plain one; arm64: some 100 instructions
    with _whole_or_not(builder, vector, count) as (whole, less):
        with whole:
            _store_lanes(builder, vector, value, address)
        with less:
            for size, at, is_there in _halves(builder, vector, count):
                low, high = part_of(builder, value, 0, size), part_of(builder, value, size, size)
                with builder.if_then(is_there):
                    _store_lanes(builder, vector, low, builder.gep(address, [at]))
                value = builder.select(is_there, high, low)


def _whole_or_not(builder, vector, count):
    return builder.if_else(builder.icmp_signed(">=", count, count.type(vector.count)), likely=True)


def _halves(builder, vector, count):
    """For half a vector, a quarter, ... one lane: its size, where it is if it is there, and whether it is."""
    size, at = vector.count // 2, count.type(0)
    while size:
        is_there = builder.icmp_unsigned("!=", builder.and_(count, count.type(size)), count.type(0))
        yield size, at, is_there
        at = builder.add(at, builder.select(is_there, count.type(size), count.type(0)))
        size //= 2


def part_of(builder, value, first, size):
    order = ir.Constant(ir.VectorType(INT32, size), list(range(first, first + size)))
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)


def joined(builder, low, high):
    order = ir.Constant(ir.VectorType(INT32, 2 * low.type.count), list(range(2 * low.type.count)))
    return builder.shuffle_vector(low, high, order)


def _load_lanes(builder, vector, address, count):
    place = builder.bitcast(address, ir.VectorType(vector.llvm.element, count).as_pointer())
    return builder.load(place, align=vector.kind.bitwidth // 8)


def _store_lanes(builder, vector, value, address):
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=vector.kind.bitwidth // 8)


def is_pointer_to_floats(array):
    return isinstance(array, types.CPointer | ReadOnlyPointer) and array.dtype in MANTISSA
