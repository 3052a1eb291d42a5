"""softmax and its kin along an axis that is not the last: arrays (outer, C, inner), C-contiguous, one dtype for all.

They are worked on in strips: as many neighbours along inner as a vector has lanes, over the whole axis. So each lane
holds a sum of its own, and nothing is moved ((64, 1000, 49): 1.3 ms; 5.3 with copies that have the axis last). What is
done to one strip is in strips.py.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.strips import (
    FLOAT64,
    exp_strip,
    log_sums,
    log_sums_of_lanes,
    max_strip,
    not_finite,
    sum_strip,
)
from fastsoftmax.kernels.rows.vecmath import distance, scaling
from fastsoftmax.kernels.simd import (
    either,
    fma,
    lanes,
    load_masked,
    pointer,
    splat,
    stack_square,
    store,
    store_masked,
)
from fastsoftmax.kernels.threads import share


@kernel
def softmax_columns(logits, temperature, out, team):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (outer, C, inner) -> out (outer, C, inner)
    n_strips, length = strips_of(logits)
    share(team, n_strips, length, _softmax_span, (logits, temperature, out))


@routine(counts_references=True)
def _softmax_span(first, last, logits, temperature, out):
    width, length, ragged = lanes(logits), logits.shape[1], logits.shape[2] % lanes(logits) != 0
    scratch = np.empty(length * width if ragged else 0, logits.dtype)
    for strip in range(first, last):
        start, stride, count = place_of(logits, strip)
        # a strip that is not full keeps its e apart: loads would wait for its neighbours' stores (3 times as long)
        apart = count < width
        e, at, down = either(apart, pointer(scratch), pointer(out)), 0 if apart else start, width if apart else stride
        z = pointer(logits)
        top, scale = max_strip(z, start, stride, length, count), scaling(z, temperature)
        _, total = exp_strip(z, start, stride, length, count, top, scale, None, (e, at, down))
        factor = splat(z, 1) / total
        for c in range(length):
            store_masked(load_masked(e, at + c * down, count, 0) * factor, pointer(out), start + c * stride, count)


@kernel
def log_softmax_columns(logits, temperature, out, team):
    # log p_j = (z_j - max z) / T - log sum_k e_k;  logits (outer, C, inner) -> out (outer, C, inner)
    n_strips, length = strips_of(logits)
    share(team, n_strips, length, _log_softmax_span, (logits, temperature, out))


@routine
def _log_softmax_span(first, last, logits, temperature, out):
    lane = stack_square(logits)
    for strip in range(first, last):
        start, stride, count = place_of(logits, strip)
        z, length = pointer(logits), logits.shape[1]
        top, scale = max_strip(z, start, stride, length, count), scaling(z, temperature)
        ones, others = exp_strip(z, start, stride, length, count, top, scale, True, None)
        log_sum = log_sums_of_lanes(ones, others, lane)
        for j in range(start, start + length * stride, stride):
            store_masked(distance(load_masked(z, j, count, 0), top, scale) - log_sum, pointer(out), j, count)


@kernel
def logsumexp_columns(logits, out, team):
    # lse = max z + log sum_k e_k;  logits (outer, C, inner) -> out (outer * inner,)
    n_strips, length = strips_of(logits)
    share(team, n_strips, length, _logsumexp_span, (logits, out))


@routine
def _logsumexp_span(first, last, logits, out):
    tops, logs = stack_square(logits), stack_square(FLOAT64)
    length, inner = logits.shape[1], logits.shape[2]
    for strip in range(first, last):
        start, stride, count = place_of(logits, strip)
        z = pointer(logits)
        top = max_strip(z, start, stride, length, count)
        ones, others = exp_strip(z, start, stride, length, count, top, None, True, None)
        log_sums(ones, others, tops, logs)
        store(top, tops, 0)
        at = strip // across(logits) * inner + strip % across(logits) * lanes(logits)
        for r in range(count):
            out[at + r] = np.float64(tops[r]) + logs[r]
            if not np.isfinite(tops[r]):
                out[at + r] = not_finite(z, start + r, stride, length, tops[r])


@kernel
def softmax_jvp_columns(probs, tangent, out, team):
    # (J v)_j = p_j (v_j - <p, v>);  probs, tangent (outer, C, inner) -> out (outer, C, inner)
    n_strips, length = strips_of(probs)
    share(team, n_strips, length, _softmax_jvp_span, (probs, tangent, out))


@routine
def _softmax_jvp_span(first, last, probs, tangent, out):
    p, v = pointer(probs), pointer(tangent)
    for strip in range(first, last):
        start, stride, count = place_of(probs, strip)
        end = start + probs.shape[1] * stride
        inner = sum_strip(p, start, stride, probs.shape[1], count, _product, (p, v))
        for j in range(start, end, stride):
            store_masked(load_masked(p, j, count, 0) * (load_masked(v, j, count, 0) - inner), pointer(out), j, count)


softmax_vjp_columns = softmax_jvp_columns  # J is symmetric: J^T u is J u


@inlined
def _product(total, j, count, p, v):
    return fma(load_masked(p, j, count, 0), load_masked(v, j, count, 0), total)


@kernel
def log_softmax_jvp_columns(log_probs, tangent, out, team):
    # (J v)_j = v_j - <p, v>;  log_probs, tangent (outer, C, inner) -> out (outer, C, inner)
    n_strips, length = strips_of(log_probs)
    share(team, n_strips, length, _log_softmax_jvp_span, (log_probs, tangent, out))


@routine
def _log_softmax_jvp_span(first, last, log_probs, tangent, out):
    log_p, v = pointer(log_probs), pointer(tangent)
    for strip in range(first, last):
        start, stride, count = place_of(log_probs, strip)
        end = start + log_probs.shape[1] * stride
        inner = sum_strip(log_p, start, stride, log_probs.shape[1], count, _product_with_exp, (log_p, v))
        for j in range(start, end, stride):
            store_masked(load_masked(v, j, count, 0) - inner, pointer(out), j, count)


@inlined
def _product_with_exp(total, j, count, log_p, v):
    return fma(exp(load_masked(log_p, j, count, 0)), load_masked(v, j, count, 0), total)


@kernel
def log_softmax_vjp_columns(log_probs, cotangent, out, team):
    # (J^T u)_k = u_k - p_k sum_j u_j;  log_probs, cotangent (outer, C, inner) -> out (outer, C, inner)
    n_strips, length = strips_of(log_probs)
    share(team, n_strips, length, _log_softmax_vjp_span, (log_probs, cotangent, out))


@routine
def _log_softmax_vjp_span(first, last, log_probs, cotangent, out):
    log_p, u = pointer(log_probs), pointer(cotangent)
    for strip in range(first, last):
        start, stride, count = place_of(log_probs, strip)
        end = start + log_probs.shape[1] * stride
        minus = splat(u, 0) - sum_strip(u, start, stride, log_probs.shape[1], count, _element, (u,))
        for j in range(start, end, stride):
            prob = exp(load_masked(log_p, j, count, 0))
            store_masked(fma(prob, minus, load_masked(u, j, count, 0)), pointer(out), j, count)


@inlined
def _element(total, j, count, u):
    return total + load_masked(u, j, count, 0)


# Strips


@inlined
def strips_of(array):
    # how many strips an array (outer, C, inner) has, and how many elements each
    return array.shape[0] * across(array), array.shape[1] * lanes(array)


@inlined
def across(array):
    # how many strips lie side by side
    return (array.shape[2] + lanes(array) - 1) // lanes(array)


@inlined
def place_of(array, strip):
    # the start of a strip, its stride, and how many of its lanes are used
    inner, width = array.shape[2], lanes(array)
    left = strip % across(array) * width
    return strip // across(array) * array.shape[1] * inner + left, inner, min(width, inner - left)
