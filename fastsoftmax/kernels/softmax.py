"""softmax, log_softmax and logsumexp over the rows of a matrix, and their products with a vector.

Every `_rows` kernel is a loop over rows around a `_row` kernel, which reads its row, works in a scratch row that
stays in cache, and writes the result once; so out may be the input itself. Shapes: N rows, C columns, C-contiguous,
one dtype for all. `where` and `temperature` may be None, which compiles them away.

Hidden elements (where is False) become -inf before the row is worked on and get their fixed value after it.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel
from fastsoftmax.kernels.vecmath import dot_row, exp, exp_row, max_row, row, select, sum_row


@kernel
def softmax_rows(logits, temperature, where, out):
    # logits (N, C) -> out (N, C)
    scratch = np.empty((2, logits.shape[1]), logits.dtype)
    for n in range(logits.shape[0]):
        if where is None:
            softmax_row(row(logits, n), temperature, row(scratch, 0), row(out, n))
        else:
            _hide_row(row(logits, n), row(where, n), row(scratch, 1))
            softmax_row(row(scratch, 1), temperature, row(scratch, 0), row(out, n))
            _blank_row(row(where, n), logits.dtype.type(0), row(out, n))


@kernel
def log_softmax_rows(logits, temperature, where, out):
    # logits (N, C) -> out (N, C)
    scratch = np.empty((2, logits.shape[1]), logits.dtype)
    for n in range(logits.shape[0]):
        if where is None:
            log_softmax_row(row(logits, n), temperature, row(scratch, 0), row(out, n))
        else:
            _hide_row(row(logits, n), row(where, n), row(scratch, 1))
            log_softmax_row(row(scratch, 1), temperature, row(scratch, 0), row(out, n))
            _blank_row(row(where, n), logits.dtype.type(-np.inf), row(out, n))


@kernel
def logsumexp_rows(logits, where, out):
    # logits (N, C) -> out (N,)
    scratch = np.empty((2, logits.shape[1]), logits.dtype)
    for n in range(logits.shape[0]):
        if where is None:
            out[n] = logsumexp_row(row(logits, n), row(scratch, 0))
        else:
            _hide_row(row(logits, n), row(where, n), row(scratch, 1))
            out[n] = logsumexp_row(row(scratch, 1), row(scratch, 0))


@kernel
def softmax_row(logits, temperature, scratch, out):
    # p_j = exp((z_j - max z) / T) / sum_k exp((z_k - max z) / T)
    rest = exp_row(logits, max_row(logits), temperature, scratch)
    inverse = logits.dtype.type(1.0 / (1.0 + rest))
    for j in range(scratch.shape[0]):
        out[j] = scratch[j] * inverse


@kernel
def log_softmax_row(logits, temperature, scratch, out):
    # log p_j = (z_j - max z) / T - log sum_k exp((z_k - max z) / T)
    top = max_row(logits)
    log_sum = logits.dtype.type(np.log1p(exp_row(logits, top, temperature, scratch)))
    for j in range(logits.shape[0]):
        distance = logits[j] - top
        if temperature is not None:
            distance = distance / temperature
        out[j] = distance - log_sum


@kernel
def logsumexp_row(logits, scratch):
    # lse = max z + log sum_k exp(z_k - max z), a float64; an infinite or NaN maximum is the answer itself
    top = np.float64(max_row(logits))
    if not np.isfinite(top):
        return top
    return top + np.log1p(exp_row(logits, logits.dtype.type(top), None, scratch))


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
def _hide_row(logits, where, out):
    hidden = logits.dtype.type(-np.inf)
    for j in range(logits.shape[0]):
        out[j] = select(where[j], logits[j], hidden)


@kernel
def _blank_row(where, value, out):
    for j in range(out.shape[0]):
        out[j] = select(where[j], out[j], value)
