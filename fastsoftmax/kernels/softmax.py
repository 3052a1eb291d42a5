"""softmax, log_softmax and logsumexp over the rows of a matrix, and their products with a vector.

Shapes: N rows, C columns, C-contiguous, one dtype for all; `where` and `temperature` may be None, which compiles them
away. Rows are worked on in blocks: exp_rows fills a scratch block, which stays in cache, with exp(z - max z), and each
result is made of that and written once; so out may be the input itself. Hidden elements (where is False) count as -inf,
and get their fixed value at the end.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel
from fastsoftmax.kernels.vecmath import (
    CHUNK,
    distance_row,
    dot_row,
    exp,
    exp_each,
    exp_row,
    log1p,
    max_row,
    part,
    rest_row,
    row,
    select,
    sum_row,
)

BLOCK = 1024  # elements of a block of short rows: 4 or 8 KiB


@kernel
def softmax_rows(logits, temperature, where, out):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (N, C) -> out (N, C)
    size, scratch, tops, rests = workspace(logits)
    for first in range(0, logits.shape[0], size):
        count = min(size, logits.shape[0] - first)
        exp_rows(logits, first, count, temperature, where, scratch, tops, rests)
        for r in range(count):
            scale_row(row(scratch, r), logits.dtype.type(1.0 / (1.0 + rests[r])), row(out, first + r))
            if where is not None:
                _blank_row(row(where, first + r), logits.dtype.type(0), row(out, first + r))


@kernel
def log_softmax_rows(logits, temperature, where, out):
    # log p_j = (z_j - max z) / T - log sum_k e_k;  logits (N, C) -> out (N, C)
    size, scratch, tops, rests = workspace(logits)
    for first in range(0, logits.shape[0], size):
        count = min(size, logits.shape[0] - first)
        exp_rows(logits, first, count, temperature, where, scratch, tops, rests)
        log1p_each(part(rests, 0, count))
        for r in range(count):
            target = row(out, first + r)
            distance_row(row(logits, first + r), tops[r], temperature, target)
            _subtract_row(target, logits.dtype.type(rests[r]))
            if where is not None:
                _blank_row(row(where, first + r), logits.dtype.type(-np.inf), target)


@kernel
def logsumexp_rows(logits, where, out):
    # lse = max z + log sum_k e_k;  logits (N, C) -> out (N,). An infinite or NaN maximum is the answer itself.
    size, scratch, tops, rests = workspace(logits)
    for first in range(0, logits.shape[0], size):
        count = min(size, logits.shape[0] - first)
        exp_rows(logits, first, count, None, where, scratch, tops, rests)
        log1p_each(part(rests, 0, count))
        for r in range(count):
            out[first + r] = np.float64(tops[r]) + rests[r] if np.isfinite(tops[r]) else tops[r]


@kernel
def workspace(logits):
    # how many rows are worked on together, and what exp_rows fills for so many
    size = max(1, min(logits.shape[0], BLOCK // max(1, logits.shape[1])))
    return size, np.empty((size, logits.shape[1]), logits.dtype), np.empty(size, logits.dtype), np.empty(size)


@kernel
def exp_rows(logits, first, count, temperature, where, scratch, tops, rests):
    # rows first .. first + count of logits (N, C) -> scratch (count, C): e_j = exp((z_j - max z) / T),
    # tops (count,): max z, rests (count,): sum_j e_j - 1, float64. exp runs over all rows of the block at once: a short
    # row alone would be too short to vectorise (rows of 10: 17 ns a row against 45).
    short = logits.shape[1] <= CHUNK
    for r in range(count):
        e = row(scratch, r)
        if where is None:
            tops[r] = max_row(row(logits, first + r))
        else:
            _hide_row(row(logits, first + r), row(where, first + r), e)
            tops[r] = max_row(e)
        source = row(logits, first + r) if where is None else e
        if short:
            distance_row(source, tops[r], temperature, e)
        else:
            rests[r] = exp_row(source, tops[r], temperature, e)
    if short:
        exp_each(part(scratch, 0, count * logits.shape[1]))
        for r in range(count):
            rests[r] = rest_row(row(scratch, r))


@kernel
def log1p_each(x):
    # x_j = log(1 + x_j)
    for j in range(x.shape[0]):
        x[j] = log1p(x[j])


@kernel
def softmax_jvp_rows(probs, tangent, out):
    # probs (N, C), tangent (N, C) -> out (N, C)
    for n in range(probs.shape[0]):
        softmax_jvp_row(row(probs, n), row(tangent, n), row(out, n))


@kernel
def softmax_jvp_row(probs, tangent, out):
    # (J v)_j = p_j (v_j - <p, v>), because J_ij = p_i (delta_ij - p_j)
    inner = probs.dtype.type(dot_row(probs, tangent))
    for j in range(probs.shape[0]):
        out[j] = probs[j] * (tangent[j] - inner)


# J is symmetric: J^T u is J u.
softmax_vjp_row, softmax_vjp_rows = softmax_jvp_row, softmax_jvp_rows


@kernel
def log_softmax_jvp_rows(log_probs, tangent, out):
    # log_probs (N, C), tangent (N, C) -> out (N, C)
    scratch = np.empty(log_probs.shape[1], log_probs.dtype)
    for n in range(log_probs.shape[0]):
        log_softmax_jvp_row(row(log_probs, n), row(tangent, n), scratch, row(out, n))


@kernel
def log_softmax_jvp_row(log_probs, tangent, scratch, out):
    # d(log p_j)/dz_k = delta_jk - p_k, so (J v)_j = v_j - <p, v>
    _exp_each(log_probs, scratch)
    inner = log_probs.dtype.type(dot_row(scratch, tangent))
    for j in range(log_probs.shape[0]):
        out[j] = tangent[j] - inner


@kernel
def log_softmax_vjp_rows(log_probs, cotangent, out):
    # log_probs (N, C), cotangent (N, C) -> out (N, C)
    scratch = np.empty(log_probs.shape[1], log_probs.dtype)
    for n in range(log_probs.shape[0]):
        log_softmax_vjp_row(row(log_probs, n), row(cotangent, n), scratch, row(out, n))


@kernel
def log_softmax_vjp_row(log_probs, cotangent, scratch, out):
    # (J^T u)_k = u_k - p_k sum_j u_j
    _exp_each(log_probs, scratch)
    total = log_probs.dtype.type(sum_row(cotangent))
    for j in range(log_probs.shape[0]):
        out[j] = cotangent[j] - scratch[j] * total


@kernel
def _exp_each(x, out):
    for j in range(x.shape[0]):
        out[j] = exp(x[j])


@kernel
def scale_row(x, factor, out):
    for j in range(x.shape[0]):
        out[j] = x[j] * factor


@kernel
def _subtract_row(x, value):
    for j in range(x.shape[0]):
        x[j] = x[j] - value


@kernel
def _hide_row(logits, where, out):
    hidden = logits.dtype.type(-np.inf)
    for j in range(logits.shape[0]):
        out[j] = select(where[j], logits[j], hidden)


@kernel
def _blank_row(where, value, out):
    for j in range(out.shape[0]):
        out[j] = select(where[j], out[j], value)
