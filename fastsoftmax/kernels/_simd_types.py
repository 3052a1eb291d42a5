"""Vectors and pointers as Numba types, and the LLVM that the operations of the other _simd files share."""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils, errors
from numba.core.datamodel import models, register_default
from numba.extending import lower_builtin, type_callable

VECTOR_BITS = 512
INT32 = ir.IntType(32)
MANTISSA = {types.float32: 23, types.float64: 52}


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


class ReadOnlyPointer(types.Type):
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


def is_pointer_to_floats(array):
    return isinstance(array, types.CPointer | ReadOnlyPointer) and array.dtype in MANTISSA
