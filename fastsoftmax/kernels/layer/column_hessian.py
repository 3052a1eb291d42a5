"""The Hessian of a multinomial loss in the weights of some features and classes, for sweeps of coordinate descent.

Shapes: coordinate k of n is the weight of feature features_k and class classes_k, those of a class one after another; X
by features, columns (D, N). In the words of fit/coordinate_descent.py the Hessian is

    H_kl = sum_n x_kn x_ln a_n h_n        h = p_c (1 - p_c) within a class, else -p_c p_c'

It is float32: a step to the minimum of a model needs no more, products take half the time, and sweeps stay in a cache
(digits, n = 280: built in 1.1 ms, then 5 us a sweep; over the rows 160).
"""

import numpy as np

from fastsoftmax.kernels.jit import kernel, routine
from fastsoftmax.kernels.layer.dense import logits_block
from fastsoftmax.kernels.simd import pointer
from fastsoftmax.kernels.threads import share_each
from fastsoftmax.kernels.views import part

BAND = 24  # rows of H that a thread takes at a time
TINY = 1e-30


@kernel
def scaled_columns(columns, features, classes, factors, first, out, team):
    # out_ki = x_dn f_cn, n = first + i: factors f (C, N), out (n, some) float32, in which what is tiny is 0: subnormal
    # numbers are slow
    share_each(team, features.shape[0], _scaled_span, (columns, features, classes, factors, first, out))


@routine
def _scaled_span(start, end, columns, features, classes, factors, first, out):
    n_rows, some, x, f, to = columns.shape[1], out.shape[1], pointer(columns), pointer(factors), pointer(out)
    for k in range(start, end):
        row, by, at = features[k] * n_rows + first, classes[k] * n_rows + first, k * some
        for i in range(some):
            value = x[row + i] * f[by + i]
            to[at + i] = np.float32(value) if abs(value) > TINY else np.float32(0)


@kernel(counts_references=True)
def hessian_of_columns(within, across, ends, out, team):
    # out = H (n, n), for columns times the roots of a p (1 - p) and of a p, (n, N) float32 each; ends (n,): behind the
    # last coordinate of each one's class
    share_each(
        team, -(-ends.shape[0] // BAND), _bands, (within, across, ends, np.zeros(ends.shape[0], np.float32), out)
    )
    _mirror(ends, out)


@routine
def _bands(first, last, within, across, ends, zeros, out):
    size = ends.shape[0]
    for k in range(first * BAND, min(last * BAND, size)):
        if k % BAND > 0 and ends[k] == ends[k - 1]:
            continue
        end = ends[k]
        count = min(end, (k // BAND + 1) * BAND) - k
        here = pointer(part(out, k * size, count * size))
        logits_block(within, k, count, within, zeros, k, end - k, here)
        logits_block(across, k, count, across, zeros, end, size - end, here)


@routine
def _mirror(ends, out):
    # what lies below the diagonal, and the sign of what is not within a class
    size, h = ends.shape[0], pointer(out)
    for k in range(size):
        for j in range(k + 1, ends[k]):
            h[j * size + k] = h[k * size + j]
        for j in range(ends[k], size):
            h[k * size + j] = -h[k * size + j]
            h[j * size + k] = h[k * size + j]
