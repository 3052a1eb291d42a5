"""Parts of C-contiguous arrays as arrays of their own, without counting references.

A slice in compiled code counts its references atomically, some ten times. These views borrow the memory: the array that
they are taken from must outlive them, as a kernel's argument does, or a scratch array that is used after them.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numba.np import arrayobj


def part(array, start, count):
    """`count` elements from the flat position `start` on."""
    return array.reshape(-1)[start : start + count]


def matrix(array, start, n_rows, n_columns):
    """A matrix whose elements lie one after another from the flat position `start` on."""
    return array.reshape(-1)[start : start + n_rows * n_columns].reshape(n_rows, n_columns)


@overload(part)
def _part_jitted(array, start, count):
    return lambda array, start, count: _borrowed(array, start, (np.intp(count),))


@overload(matrix)
def _matrix_jitted(array, start, n_rows, n_columns):
    return lambda array, start, n_rows, n_columns: _borrowed(array, start, (np.intp(n_rows), np.intp(n_columns)))


@intrinsic
def _borrowed(typingctx, array, start, shape):
    if not (isinstance(array, types.Array) and array.layout == "C"):
        return None
    view = array.copy(ndim=len(shape))

    def codegen(context, builder, signature, args):
        source = context.make_array(array)(context, builder, args[0])
        result = context.make_array(view)(context, builder)
        lengths = [builder.extract_value(args[2], i) for i in range(len(shape))]
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        strides = [itemsize]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        arrayobj.populate_array(
            result, builder.gep(source.data, [args[1]]), lengths, strides, itemsize, meminfo=None, parent=None
        )
        return result._getvalue()

    return view(array, types.intp, types.UniTuple(types.intp, len(shape))), codegen
