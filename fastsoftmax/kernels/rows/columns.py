"""softmax and its kin along an axis that is not the last: arrays (outer, C, inner), C-contiguous, one dtype for all.

They are worked on in strips: as many neighbours along inner as a vector has lanes, over the whole axis. So each lane
holds a sum of its own, and nothing is moved where rows are near. Where they are far from one another, whole panels are
read and written row by row (panels.py). What is done to one strip is in strips.py.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.panels import (
    SUMS,
    are_near,
    are_near_for_sums,
    copy_stride,
    panel_at,
    panel_width,
    panels_of,
    put_panel,
    sum_panel,
    take_panel,
)
from fastsoftmax.kernels.rows.strips import (
    exp_strip,
    log_sums,
    max_strip,
    not_finite,
    sum_strip,
)
from fastsoftmax.kernels.rows.vecmath import distance, fill_row, scaling, streams
from fastsoftmax.kernels.simd import (
    either,
    fma,
    lanes,
    load,
    load_masked,
    pointer,
    splat,
    stack_square,
    store,
    store_fence,
    store_masked,
)
from fastsoftmax.kernels.threads import share


@kernel(deferred=True)
def softmax_columns(logits, temperature, out, team):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(logits, True)
    n_panels, size = panels_of(logits, width)
    share(team, n_panels, size, _softmax_span, (logits, temperature, out, width, streams(out)))


@routine(counts_references=True)
def _softmax_span(first, last, logits, temperature, out, width, streaming):
    length, inner, near = logits.shape[1], logits.shape[2], are_near(logits)
    stride = copy_stride(logits, width)
    copy, factors = np.empty((length + 1) * stride, logits.dtype), length * stride
    for number in range(first, last):
        (block, left, count), e = panel_at(logits, width, number), pointer(copy)
        start = block * length * inner + left
        if near:
            for j in range(start, start + count, lanes(logits)):
                # a strip that is not full keeps its e apart: loads would wait for its neighbours' stores (3 times as
                # long)
                some = min(lanes(logits), start + count - j)
                apart = some < lanes(logits)
                to, at, down = either(apart, e, pointer(out)), 0 if apart else j, stride if apart else inner
                _exps_of_strip(pointer(logits), j, inner, length, some, temperature, to, at, down, e, factors)
                factor = load(e, factors)
                for c in range(length):
                    prob = load_masked(to, at + c * down, some, 0) * factor
                    store_masked(prob, pointer(out), j + c * inner, some)
        else:
            take_panel(pointer(logits), start, inner, count, length, logits.size, e, stride)
            for j in range(0, count, lanes(logits)):
                _exps_of_strip(e, j, stride, length, lanes(logits), temperature, e, j, stride, e, factors + j)
            put_panel(pointer(out), start, inner, count, length, streaming, _scaled, stride, (e, factors))
    if streaming:
        store_fence()


@inlined
def _exps_of_strip(z, start, stride, length, count, temperature, e, at, down, factors, to):
    # e of a strip, and one over its sum
    top, scale = max_strip(z, start, stride, length, count), scaling(z, temperature)
    _, total = exp_strip(z, start, stride, length, count, top, scale, None, (e, at, down))
    store(splat(z, 1) / total, factors, to)


@inlined
def _scaled(j, some, at, e, factors):
    return load_masked(e, at + j, some, 0) * load_masked(e, factors + j, some, 0)


@kernel(deferred=True)
def log_softmax_columns(logits, temperature, out, team):
    # log p_j = (z_j - max z) / T - log sum_k e_k;  logits (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(logits, True)
    n_panels, size = panels_of(logits, width)
    share(team, n_panels, size, _log_softmax_span, (logits, temperature, out, width, streams(out)))


@routine(counts_references=True)
def _log_softmax_span(first, last, logits, temperature, out, width, streaming):
    length, inner, near = logits.shape[1], logits.shape[2], are_near(logits)
    stride = copy_stride(logits, width)
    copy, tops = np.empty((length + 2) * stride, logits.dtype), length * stride
    for number in range(first, last):
        (block, left, count), z = panel_at(logits, width, number), pointer(copy)
        start, scale, log_sums_at = block * length * inner + left, scaling(z, temperature), tops + stride
        if near:
            for j in range(start, start + count, lanes(logits)):
                some = min(lanes(logits), start + count - j)
                _log_sums_of_strip(pointer(logits), j, inner, length, some, temperature, z, tops, log_sums_at)
                top, log_sum = load(z, tops), load(z, log_sums_at)
                for at in range(j, j + length * inner, inner):
                    away = distance(load_masked(pointer(logits), at, some, 0), top, scale)
                    store_masked(away - log_sum, pointer(out), at, some)
        else:
            take_panel(pointer(logits), start, inner, count, length, logits.size, z, stride)
            for j in range(0, count, lanes(logits)):
                _log_sums_of_strip(z, j, stride, length, lanes(logits), temperature, z, tops + j, log_sums_at + j)
            found = z, tops, log_sums_at, scale
            put_panel(pointer(out), start, inner, count, length, streaming, _log_prob, stride, found)
    if streaming:
        store_fence()


@inlined
def _log_sums_of_strip(z, start, stride, length, count, temperature, found, top_at, log_sum_at):
    # max z of a strip, and log sum_k e_k
    top, lane = max_strip(z, start, stride, length, count), stack_square(z)
    ones, others = exp_strip(z, start, stride, length, count, top, scaling(z, temperature), True, None)
    store(top, found, top_at)
    store(log_sums(ones, others, lane), found, log_sum_at)


@inlined
def _log_prob(j, some, at, z, tops, log_sums_at, scale):
    away = distance(load_masked(z, at + j, some, 0), load_masked(z, tops + j, some, 0), scale)
    return away - load_masked(z, log_sums_at + j, some, 0)


@kernel
def logsumexp_columns(logits, out, team):
    # lse = max z + log sum_k e_k;  logits (outer, C, inner) -> out (outer * inner,)
    width = panel_width(logits, True)
    n_panels, size = panels_of(logits, width)
    share(team, n_panels, size, _logsumexp_span, (logits, out, width))


@routine(counts_references=True)
def _logsumexp_span(first, last, logits, out, width):
    length, inner, near = logits.shape[1], logits.shape[2], are_near(logits)
    stride, tops, logs = copy_stride(logits, width), stack_square(logits), stack_square(logits)
    copy = np.empty(0 if near else length * stride, logits.dtype)
    for number in range(first, last):
        (block, left, count), z = panel_at(logits, width, number), pointer(copy)
        start = block * length * inner + left
        if not near:
            take_panel(pointer(logits), start, inner, count, length, logits.size, z, stride)
        for j in range(0, count, lanes(logits)):
            x, at, down = either(near, pointer(logits), z), start + j if near else j, inner if near else stride
            some = min(lanes(logits), count - j)
            top = max_strip(x, at, down, length, some)
            ones, others = exp_strip(x, at, down, length, some, top, None, True, None)
            store(log_sums(ones, others, logs), logs, 0)
            store(top, tops, 0)
            column = block * inner + left + j
            for r in range(some):
                out[column + r] = np.float64(tops[r]) + np.float64(logs[r])
                if not np.isfinite(tops[r]):
                    out[column + r] = not_finite(x, at + r, down, length, tops[r])


@kernel(deferred=True)
def softmax_jvp_columns(probs, tangent, out, team):
    # (J v)_j = p_j (v_j - <p, v>);  probs, tangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(probs, False)
    n_panels, size = panels_of(probs, width)
    share(team, n_panels, size, _softmax_jvp_span, (probs, tangent, out, width, streams(out)))


@routine(counts_references=True)
def _softmax_jvp_span(first, last, probs, tangent, out, width, streaming):
    p, v = pointer(probs), pointer(tangent)
    _product_span(first, last, probs, p, v, out, width, streaming, _product, _softmax_jvp, _softmax_jvp_in_panel)


softmax_vjp_columns = softmax_jvp_columns  # J is symmetric: J^T u is J u


@inlined
def _product(total, j, some, p, v):
    return fma(load_masked(p, j, some, 0), load_masked(v, j, some, 0), total)


@inlined
def _softmax_jvp(j, some, inner, p, v):
    return load_masked(p, j, some, 0) * (load_masked(v, j, some, 0) - inner)


@inlined
def _softmax_jvp_in_panel(j, some, at, p, v, sums):
    return _softmax_jvp(at + j, some, load_masked(sums, j, some, 0), p, v)


@kernel(deferred=True)
def log_softmax_jvp_columns(log_probs, tangent, out, team):
    # (J v)_j = v_j - <p, v>;  log_probs, tangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(log_probs, False)
    n_panels, size = panels_of(log_probs, width)
    share(team, n_panels, size, _log_softmax_jvp_span, (log_probs, tangent, out, width, streams(out)))


@routine(counts_references=True)
def _log_softmax_jvp_span(first, last, log_probs, tangent, out, width, streaming):
    log_p, v = pointer(log_probs), pointer(tangent)
    _product_span(
        first,
        last,
        log_probs,
        log_p,
        v,
        out,
        width,
        streaming,
        _product_with_exp,
        _log_softmax_jvp,
        _log_softmax_jvp_in_panel,
    )


@inlined
def _product_with_exp(total, j, some, log_p, v):
    return fma(exp(load_masked(log_p, j, some, 0)), load_masked(v, j, some, 0), total)


@inlined
def _log_softmax_jvp(j, some, inner, log_p, v):
    return load_masked(v, j, some, 0) - inner


@inlined
def _log_softmax_jvp_in_panel(j, some, at, log_p, v, sums):
    return _log_softmax_jvp(at + j, some, load_masked(sums, j, some, 0), log_p, v)


@kernel(deferred=True)
def log_softmax_vjp_columns(log_probs, cotangent, out, team):
    # (J^T u)_k = u_k - p_k sum_j u_j;  log_probs, cotangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(log_probs, False)
    n_panels, size = panels_of(log_probs, width)
    share(team, n_panels, size, _log_softmax_vjp_span, (log_probs, cotangent, out, width, streams(out)))


@routine(counts_references=True)
def _log_softmax_vjp_span(first, last, log_probs, cotangent, out, width, streaming):
    log_p, u = pointer(log_probs), pointer(cotangent)
    _product_span(
        first, last, log_probs, log_p, u, out, width, streaming, _cotangent, _log_softmax_vjp, _log_softmax_vjp_in_panel
    )


@inlined
def _cotangent(total, j, some, log_p, u):
    return total + load_masked(u, j, some, 0)


@inlined
def _log_softmax_vjp(j, some, total, log_p, u):
    return fma(exp(load_masked(log_p, j, some, 0)), splat(u, 0) - total, load_masked(u, j, some, 0))


@inlined
def _log_softmax_vjp_in_panel(j, some, at, log_p, u, sums):
    return _log_softmax_vjp(at + j, some, load_masked(sums, j, some, 0), log_p, u)


@inlined(counts_references=True)
def _product_span(first, last, array, x, y, out, width, streaming, added, value, value_in_panel):
    # out at j, `some` elements: value(j, some, total of their columns, x, y); added: see sum_strip, of (x, y)
    length, inner, step = array.shape[1], array.shape[2], lanes(array)
    room = np.empty(SUMS * width, array.dtype)
    for number in range(first, last):
        (block, left, count), sums = panel_at(array, width, number), pointer(room)
        start = block * length * inner + left
        if are_near_for_sums(array):
            for j in range(start, start + count, step):
                some = min(step, start + count - j)
                total = sum_strip(sums, j, inner, length, some, added, (x, y))
                for at in range(j, j + length * inner, inner):
                    store_masked(value(at, some, total, x, y), pointer(out), at, some)
        else:
            sum_panel(sums, start, inner, count, length, added, (x, y), sums, width)
            for c in range(length):
                at = start + c * inner
                fill_row(pointer(out), at, count, streaming, value_in_panel, (at, x, y, sums))
    if streaming:
        store_fence()
