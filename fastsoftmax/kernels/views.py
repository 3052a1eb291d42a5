"""Parts of C-contiguous arrays as arrays of their own, without counting references; and large scratch arrays.

A slice counts references to the array that it is taken from, if the function does (jit/__init__.py). These views borrow
the memory: the array must outlive them, as a kernel's argument does, or a scratch array that is used after them.
"""

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastsoftmax.kernels.jit import inlined_overload
from fastsoftmax.kernels.jit.numba_internals import array_lowering, cgutils

HUGE_BYTES, PAGE_BYTES = 2**22, 4096
HUGE_PAGE_ADVICE = 14  # MADV_HUGEPAGE of Linux


def part(array, start, count):
    """`count` elements from the flat position `start` on."""
    return array.reshape(-1)[start : start + count]


def matrix(array, start, n_rows, n_columns):
    """A matrix whose elements lie one after another from the flat position `start` on."""
    return array.reshape(-1)[start : start + n_rows * n_columns].reshape(n_rows, n_columns)


@inlined_overload(part, counts_references=True)
def _part_jitted(array, start, count):
    return lambda array, start, count: _borrowed(array, start, (np.intp(count),))


@inlined_overload(matrix, counts_references=True)
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
        array_lowering().populate_array(
            result, builder.gep(source.data, [args[1]]), lengths, strides, itemsize, meminfo=None, parent=None
        )
        return result._getvalue()

    return view(array, types.intp, types.UniTuple(types.intp, len(shape))), codegen


def on_huge_pages(array):
    """The array, whose memory the system may lay on huge pages: 10 MiB are there after 0.3 ms instead of 3."""
    return array


@inlined_overload(on_huge_pages, counts_references=True)
def _on_huge_pages_jitted(array):
    if sys.platform != "linux":
        return lambda array: array

    def advise(array):
        if array.nbytes >= HUGE_BYTES:
            _advise(array)
        return array

    return advise


@intrinsic
def _advise(typingctx, array):
    def codegen(context, builder, signature, args):
        number, byte = ir.IntType(64), ir.IntType(8).as_pointer()
        source = context.make_array(array)(context, builder, args[0])
        start = builder.and_(builder.ptrtoint(source.data, number), number(-PAGE_BYTES))
        size = builder.mul(source.nitems, source.itemsize)
        kind = ir.FunctionType(ir.IntType(32), [byte, number, ir.IntType(32)])
        madvise = cgutils.get_or_insert_function(builder.module, kind, "madvise")
        builder.call(madvise, [builder.inttoptr(start, byte), size, ir.Constant(ir.IntType(32), HUGE_PAGE_ADVICE)])
        return context.get_dummy_value()

    return types.void(array), codegen
