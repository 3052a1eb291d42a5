"""The dense layer, logits = X W^T + b, and the gradients of a loss with respect to X, W and b.

Shapes: X (N, D), weight (C, D), bias (C,), cotangent G = dL/dlogits (N, C); C-contiguous, one dtype for all. A row of
logits or of grad_X is computed by itself. Sums over the batch go by blocks of BLOCK rows that are folded in order: they
do not depend on how rows are dealt out to threads, and their rounding error grows with N / BLOCK and not with N.
"""

import numpy as np
from numba import types
from numba.extending import intrinsic, overload
from numba.np import arrayobj

from fastsoftmax.kernels._jit import kernel, reduction

BLOCK = 128


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
def dense_rows(X, weight, bias, out):
    # z_nc = sum_d X_nd W_cd + b_c; bias may be None
    n_classes = weight.shape[0]
    for n in range(X.shape[0]):
        x, logits = row(X, n), row(out, n)
        for c in range(0, n_classes - 3, 4):
            dots = _four_dots(x, row(weight, c), row(weight, c + 1), row(weight, c + 2), row(weight, c + 3))
            logits[c], logits[c + 1], logits[c + 2], logits[c + 3] = dots
        for c in range(n_classes - n_classes % 4, n_classes):
            logits[c] = dot_chunk(x, row(weight, c))
        if bias is not None:
            for c in range(n_classes):
                logits[c] += bias[c]


@kernel
def dense_grad_X_rows(cotangent, weight, out):
    # dL/dX_nd = sum_c G_nc W_cd
    out[:] = 0
    for n in range(cotangent.shape[0]):
        _add_combination(row(cotangent, n), weight, 0, row(out, n))


@kernel
def dense_grad_weight_rows(X, cotangent, out):
    # dL/dW_cd = sum_n G_nc X_nd: the sum over the batch of the outer products of G_n and X_n
    block, factors = np.empty(out.shape[1], out.dtype), np.empty(BLOCK, out.dtype)
    out[:] = 0
    for start in range(0, X.shape[0], BLOCK):
        count = min(BLOCK, X.shape[0] - start)
        for c in range(out.shape[0]):
            for r in range(count):
                factors[r] = cotangent[start + r, c]
            block[:] = 0
            _add_combination(part(factors, 0, count), X, start, block)
            _add_scaled(out.dtype.type(1), block, row(out, c))


@kernel
def dense_grad_bias_rows(cotangent, out):
    # dL/db_c = sum_n G_nc
    one = cotangent.dtype.type(1)
    block = np.empty_like(out)
    out[:] = 0
    for start in range(0, cotangent.shape[0], BLOCK):
        block[:] = 0
        for n in range(start, min(start + BLOCK, cotangent.shape[0])):
            _add_scaled(one, row(cotangent, n), block)
        _add_scaled(one, block, out)


@kernel
def _add_combination(factors, matrix, first, out):
    # out_d += sum_r factors_r matrix_(first + r)d; four rows at a time, so that out is read and written a quarter as
    # often (1.6 times as fast at D = 64)
    n_rows = factors.shape[0]
    for r in range(0, n_rows - 3, 4):
        a, b, c, d = factors[r], factors[r + 1], factors[r + 2], factors[r + 3]
        x, y = row(matrix, first + r), row(matrix, first + r + 1)
        z, w = row(matrix, first + r + 2), row(matrix, first + r + 3)
        for j in range(out.shape[0]):
            out[j] += (a * x[j] + b * y[j]) + (c * z[j] + d * w[j])
    for r in range(n_rows - n_rows % 4, n_rows):
        _add_scaled(factors[r], row(matrix, first + r), out)


@kernel
def _add_scaled(factor, x, out):
    for j in range(x.shape[0]):
        out[j] += factor * x[j]


@reduction
def _four_dots(x, w0, w1, w2, w3):
    # four classes at a time: x is read once for them, and their sums do not wait for one another
    zero = x.dtype.type(0)
    t0, t1, t2, t3 = zero, zero, zero, zero
    for j in range(x.shape[0]):
        t0 += x[j] * w0[j]
        t1 += x[j] * w1[j]
        t2 += x[j] * w2[j]
        t3 += x[j] * w3[j]
    return t0, t1, t2, t3


@reduction
def dot_chunk(x, y):
    # x (C,), y (C,) -> sum_j x_j y_j in one go, in their dtype
    total = x.dtype.type(0)
    for j in range(x.shape[0]):
        total += x[j] * y[j]
    return total
