"""The dense layer, logits = X W^T + b, and the gradients of a loss with respect to X, W and b.

Shapes: X (N, D), weight (C, D), bias (C,), cotangent = dL/dlogits (N, C); C-contiguous, one dtype for all.
Sums over the batch go by blocks of BLOCK rows that are folded in order: so they do not depend on how rows are later
dealt out to threads, and their rounding error grows with N / BLOCK and not with N.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel
from fastsoftmax.kernels.vecmath import dot_row, row

BLOCK = 128


@kernel
def dense_rows(X, weight, bias, out):
    # z_nc = sum_d X_nd W_cd + b_c; bias may be None
    for n in range(X.shape[0]):
        for c in range(weight.shape[0]):
            logit = X.dtype.type(dot_row(row(X, n), row(weight, c)))
            out[n, c] = logit if bias is None else logit + bias[c]


@kernel
def dense_grad_X_rows(cotangent, weight, out):
    # dL/dX_nd = sum_c G_nc W_cd
    for n in range(cotangent.shape[0]):
        out[n] = 0
        for c in range(weight.shape[0]):
            _add_scaled_row(cotangent[n, c], row(weight, c), row(out, n))


@kernel
def dense_grad_weight_rows(X, cotangent, out):
    # dL/dW_cd = sum_n G_nc X_nd: the sum over the batch of the outer products of G_n and X_n
    block = np.empty_like(out)
    out[:] = 0
    for start in range(0, X.shape[0], BLOCK):
        block[:] = 0
        for n in range(start, min(start + BLOCK, X.shape[0])):
            for c in range(out.shape[0]):
                _add_scaled_row(cotangent[n, c], row(X, n), row(block, c))
        for c in range(out.shape[0]):
            _add_scaled_row(X.dtype.type(1), row(block, c), row(out, c))


@kernel
def dense_grad_bias_rows(cotangent, out):
    # dL/db_c = sum_n G_nc
    one = cotangent.dtype.type(1)
    block = np.empty_like(out)
    out[:] = 0
    for start in range(0, cotangent.shape[0], BLOCK):
        block[:] = 0
        for n in range(start, min(start + BLOCK, cotangent.shape[0])):
            _add_scaled_row(one, row(cotangent, n), block)
        _add_scaled_row(one, block, out)


@kernel
def _add_scaled_row(factor, x, out):
    for j in range(x.shape[0]):
        out[j] += factor * x[j]
