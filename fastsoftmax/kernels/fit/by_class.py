"""softmax and the loss of logits that lie class by class, as coordinate descent has them (training/duality.py).

Shapes: logits, targets (distributions), and all that is of their kind (C, N); row_weight (N,). Everything is float64.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp, log1p_each
from fastsoftmax.kernels.rows.vecmath import each_vector, sum_values
from fastsoftmax.kernels.simd import fma, larger, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import share_each
from fastsoftmax.kernels.views import part

BLOCK = 1024  # rows
LEAST_LOG = -200.0  # of a probability, over the largest: products of several are no subnormal numbers, which are slow


@kernel(counts_references=True)
def softmax_by_class(logits, targets, row_weight, pinned, probs, cotangent, team):
    # p, and r = a (p - t): dL/dlogits. pinned: 1 if there is a class before them, of logit 0
    # -> the sum of a_n (logsumexp z_n - sum_c t_cn z_cn)
    sums = np.empty(-(-row_weight.shape[0] // BLOCK))
    arguments = (logits, targets, row_weight, pinned, probs, cotangent, np.empty(2 * row_weight.shape[0]), sums)
    share_each(team, sums.size, _blocks, arguments)
    total = 0.0
    for block in range(sums.size):
        total += sums[block]
    return total


@routine
def _blocks(first, last, logits, targets, row_weight, pinned, probs, cotangent, scratch, sums):
    n_classes, n_rows = logits.shape
    a, logs, apart = pointer(row_weight), pointer(scratch), pointer(part(scratch, n_rows, n_rows))
    where = (pointer(logits), pointer(targets), a, pointer(probs), pointer(cotangent))
    for block in range(first, last):
        start, end = block * BLOCK, min((block + 1) * BLOCK, n_rows)
        each_vector(logits, start, end, _softmax, (n_classes, n_rows, pinned, *where, logs, apart))
        log1p_each(part(scratch, start, end - start), end - start)
        sums[block] = sum_values(a, end - start, _plus_loss, (start, a, logs, apart))


@inlined
def _softmax(n, some, n_classes, n_rows, pinned, z, t, a, p, r, logs, apart):
    # logs: the sum of e less 1, apart: the largest logit less sum_c t_c z_c
    top, linear = splat(z, -np.inf), splat(z, 0)
    if pinned:
        top = splat(z, 0)
    for j in range(n, n + n_classes * n_rows, n_rows):
        top = larger(load_masked(z, j, some, 0), top)
    total = exp(larger(splat(z, 0) - top, splat(z, LEAST_LOG))) if pinned else splat(z, 0)
    for j in range(n, n + n_classes * n_rows, n_rows):
        logit = load_masked(z, j, some, 0)
        e = exp(larger(logit - top, splat(z, LEAST_LOG)))
        total, linear = total + e, fma(load_masked(t, j, some, 0), logit, linear)
        store_masked(e, p, j, some)
    factor, weight = splat(z, 1) / total, load_masked(a, n, some, 0)
    for j in range(n, n + n_classes * n_rows, n_rows):
        prob = load_masked(p, j, some, 0) * factor
        store_masked(prob, p, j, some)
        store_masked(weight * (prob - load_masked(t, j, some, 0)), r, j, some)
    store_masked(total - splat(z, 1), logs, n, some)
    store_masked(top - linear, apart, n, some)


@inlined
def _plus_loss(total, j, some, start, a, logs, apart):
    loss = load_masked(apart, start + j, some, 0) + load_masked(logs, start + j, some, 0)
    return fma(load_masked(a, start + j, some, 0), loss, total)
