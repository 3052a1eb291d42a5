"""softmax, log_softmax and logsumexp along an axis that is not the last: arrays (outer, C, inner), C-contiguous.

They are worked on in strips: as many neighbours along inner as a vector has lanes, over the whole axis. So each lane
holds a sum of its own, and nothing is moved where rows are near. Where they are far from one another, whole panels are
read and written row by row (panels.py). What is done to one strip is in strips.py; products with the Jacobian are in
column_jacobians.py.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.panels import (
    are_near,
    copy_stride,
    panel_at,
    panel_width,
    panels_of,
    put_panel,
    take_panel,
)
from fastsoftmax.kernels.rows.strips import (
    exp_strip,
    log_sums,
    max_strip,
    not_finite,
)
from fastsoftmax.kernels.rows.vecmath import distance, scaling, streams
from fastsoftmax.kernels.simd import (
    either,
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
    width = panel_width(logits, True, team)
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
    width = panel_width(logits, True, team)
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
    width = panel_width(logits, True, team)
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
