"""softmax, log_softmax and logsumexp over the rows of a matrix, and their products with a vector.

Shapes: N rows, C columns, C-contiguous, one dtype for all; `where` and `temperature` may be None, which compiles them
away. Each kernel checks nothing, and hands spans of rows to threads if it is given a team (_team.py). There are two
ways through a row, by its length alone, so that its bits do not depend on the rows beside it:

- short, at most as many columns as a vector has lanes: as many rows at once, transposed, so that each lane works
  on a row of its own and no lane is idle (5.0 ns a row of 10 against 6.3, 3.7 against 6.3 for a row of 2);
- long: a vector of one row after another, and what does not fill one under a mask.

out may be the input itself. Hidden elements (where is False) count as -inf, and get their fixed value at the end.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, step
from fastsoftmax.kernels.simd import (
    choose,
    drain,
    either,
    lanes,
    larger,
    load,
    load_mask,
    load_some,
    pointer,
    room,
    splat,
    store,
    store_some,
    transpose,
)
from fastsoftmax.kernels.team import share
from fastsoftmax.kernels.vecmath import (
    count_apart,
    distance,
    dot_row,
    element,
    exp,
    exp_row,
    fill_row,
    load_shown,
    log1p,
    max_row,
    streams,
    sum_values,
)


@kernel
def softmax_rows(logits, temperature, where, out, team=0):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (N, C) -> out (N, C)
    if logits.shape[1] <= lanes(logits):
        share(team, logits, _softmax_short, (logits, temperature, where, out))
    else:
        share(team, logits, _softmax_long, (logits, temperature, where, out, streams(out)))


@kernel
def _softmax_short(first, last, logits, temperature, where, out):
    width, n_columns = lanes(logits), logits.shape[1]
    e, shown = room(logits), room(logits)
    for n in range(first, last, width):
        count = min(width, last - n)
        _gather(pointer(logits), n, count, n_columns, pointer(where), shown, e)
        top = max_columns(e, n_columns)
        ones, others = exp_columns(e, n_columns, top, _spread(e, temperature), None, True)
        factor = splat(e, 1) / (ones + others)
        for c in range(n_columns):
            store(load(e, c * width) * factor, e, c * width)
        transpose(e, 0, width, n_columns, count, pointer(out), n * n_columns, n_columns)
        _blank(n, count, n_columns, pointer(where), 0, pointer(out))


@kernel
def _softmax_long(first, last, logits, temperature, where, out, streaming):
    n_columns = logits.shape[1]
    scratch = np.empty(n_columns if streaming else 0, logits.dtype)
    for n in range(first, last):
        z, start = pointer(logits), n * n_columns
        e, at = either(streaming, pointer(scratch), pointer(out)), 0 if streaming else start
        top = max_row(z, start, n_columns, pointer(where))
        scale = _spread(z, temperature)
        _, total = exp_row(z, start, n_columns, splat(z, top), scale, pointer(where), None, e, at)
        fill_row(pointer(out), start, n_columns, streaming, _scaled, (e, at, splat(z, 1.0 / total)))
        _blank(n, 1, n_columns, pointer(where), 0, pointer(out))
    if streaming:
        drain()


@step
def _scaled(j, count, e, at, factor):
    return load_some(e, at + j, count, 0) * factor


@kernel
def log_softmax_rows(logits, temperature, where, out, team=0):
    # log p_j = (z_j - max z) / T - log sum_k e_k;  logits (N, C) -> out (N, C)
    if logits.shape[1] <= lanes(logits):
        share(team, logits, _log_softmax_short, (logits, temperature, where, out))
    else:
        share(team, logits, _log_softmax_long, (logits, temperature, where, out, streams(out)))


@kernel
def _log_softmax_short(first, last, logits, temperature, where, out):
    width, n_columns = lanes(logits), logits.shape[1]
    d, shown = room(logits), room(logits)
    lane, logs = np.empty(width, logits.dtype), np.empty(width)
    for n in range(first, last, width):
        count = min(width, last - n)
        _gather(pointer(logits), n, count, n_columns, pointer(where), shown, d)
        top, scale = max_columns(d, n_columns), _spread(d, temperature)
        ones, others = exp_columns(d, n_columns, top, scale, True, None)
        log_sums(ones, others, lane, logs)
        for r in range(width):
            lane[r] = logs[r]
        log_sum = load(pointer(lane), 0)
        for c in range(n_columns):
            store(distance(load(d, c * width), top, scale) - log_sum, d, c * width)
        transpose(d, 0, width, n_columns, count, pointer(out), n * n_columns, n_columns)
        _blank(n, count, n_columns, pointer(where), -np.inf, pointer(out))


@kernel
def _log_softmax_long(first, last, logits, temperature, where, out, streaming):
    n_columns = logits.shape[1]
    z, hidden = pointer(logits), pointer(where)
    scale = _spread(z, temperature)
    for n in range(first, last):
        start = n * n_columns
        top = splat(z, max_row(z, start, n_columns, hidden))
        ones, others = exp_row(z, start, n_columns, top, scale, hidden, True, None, 0)
        log_sum = splat(z, log1p((ones - 1.0) + others))
        fill_row(pointer(out), start, n_columns, streaming, _log_prob, (z, start, top, scale, log_sum))
        _blank(n, 1, n_columns, hidden, -np.inf, pointer(out))
    if streaming:
        drain()


@step
def _log_prob(j, count, z, start, top, scale, log_sum):
    return distance(load_some(z, start + j, count, 0), top, scale) - log_sum


@kernel
def logsumexp_rows(logits, where, out, team=0):
    # lse = max z + log sum_k e_k;  logits (N, C) -> out (N,)
    if logits.shape[1] <= lanes(logits):
        share(team, logits, _logsumexp_short, (logits, where, out))
    else:
        share(team, logits, _logsumexp_long, (logits, where, out))


@kernel
def _logsumexp_short(first, last, logits, where, out):
    width, n_columns = lanes(logits), logits.shape[1]
    z, shown = room(logits), room(logits)
    lane, logs, tops = np.empty(width, logits.dtype), np.empty(width), np.empty(width, logits.dtype)
    for n in range(first, last, width):
        count = min(width, last - n)
        _gather(pointer(logits), n, count, n_columns, pointer(where), shown, z)
        top = max_columns(z, n_columns)
        ones, others = exp_columns(z, n_columns, top, None, True, None)
        store(top, pointer(tops), 0)
        log_sums(ones, others, lane, logs)
        for r in range(count):
            out[n + r] = np.float64(tops[r]) + logs[r]
            if not np.isfinite(tops[r]):
                out[n + r] = _not_finite(logits, n + r, where, tops[r])


@kernel
def _logsumexp_long(first, last, logits, where, out):
    n_columns = logits.shape[1]
    z, hidden = pointer(logits), pointer(where)
    for n in range(first, last):
        start = n * n_columns
        top = max_row(z, start, n_columns, hidden)
        ones, others = exp_row(z, start, n_columns, splat(z, top), None, hidden, True, None, 0)
        out[n] = np.float64(top) + log1p((ones - 1.0) + others)
        if not np.isfinite(top):
            out[n] = _not_finite(logits, n, where, top)


@kernel
def _not_finite(logits, n, where, top):
    # An infinite maximum is the answer itself, unless a NaN, which max_row passes over, is shown beside it.
    for c in range(logits.shape[1]):
        if np.isnan(logits[n, c]) and (where is None or where[n, c]):
            return logits[n, c]
    return top


# Products


@kernel
def softmax_jvp_rows(probs, tangent, out, team=0):
    # (J v)_j = p_j (v_j - <p, v>), because J_ij = p_i (delta_ij - p_j);  probs, tangent (N, C) -> out (N, C)
    share(team, probs, _softmax_jvp_span, (probs, tangent, out, streams(out)))


@kernel
def _softmax_jvp_span(first, last, probs, tangent, out, streaming):
    n_columns, p, v, target = probs.shape[1], pointer(probs), pointer(tangent), pointer(out)
    for n in range(first, last):
        start = n * n_columns
        inner = splat(p, dot_row(p, start, v, start, n_columns))
        fill_row(target, start, n_columns, streaming, _softmax_jvp_at, (p, v, start, inner))
    if streaming:
        drain()


@step
def _softmax_jvp_at(j, count, p, v, start, inner):
    return load_some(p, start + j, count, 0) * (load_some(v, start + j, count, 0) - inner)


softmax_vjp_rows = softmax_jvp_rows  # J is symmetric: J^T u is J u


@kernel
def log_softmax_jvp_rows(log_probs, tangent, out, team=0):
    # d(log p_j)/dz_k = delta_jk - p_k, so (J v)_j = v_j - <p, v>;  log_probs, tangent (N, C) -> out (N, C)
    share(team, log_probs, _log_softmax_jvp_span, (log_probs, tangent, out, streams(out)))


@kernel
def _log_softmax_jvp_span(first, last, log_probs, tangent, out, streaming):
    n_columns, log_p, v, target = log_probs.shape[1], pointer(log_probs), pointer(tangent), pointer(out)
    for n in range(first, last):
        start = n * n_columns
        inner = splat(v, sum_values(v, n_columns, _prob_times, (log_p, v, start)))
        fill_row(target, start, n_columns, streaming, _less, (v, start, inner))
    if streaming:
        drain()


@step
def _prob_times(j, count, log_p, v, start):
    return exp(load_some(log_p, start + j, count, 0)) * load_some(v, start + j, count, 0)


@step
def _less(j, count, v, start, inner):
    return load_some(v, start + j, count, 0) - inner


@kernel
def log_softmax_vjp_rows(log_probs, cotangent, out, team=0):
    # (J^T u)_k = u_k - p_k sum_j u_j;  log_probs, cotangent (N, C) -> out (N, C)
    share(team, log_probs, _log_softmax_vjp_span, (log_probs, cotangent, out, streams(out)))


@kernel
def _log_softmax_vjp_span(first, last, log_probs, cotangent, out, streaming):
    n_columns, log_p, u, target = log_probs.shape[1], pointer(log_probs), pointer(cotangent), pointer(out)
    for n in range(first, last):
        start = n * n_columns
        total = splat(u, sum_values(u, n_columns, element, (u, start)))
        fill_row(target, start, n_columns, streaming, _less_share, (log_p, u, start, total))
    if streaming:
        drain()


@step
def _less_share(j, count, log_p, u, start, total):
    prob = exp(load_some(log_p, start + j, count, 0))
    return load_some(u, start + j, count, 0) - prob * total


# Short rows, transposed: lane r of vector c of a tile is element c of row r.


@step
def _gather(logits, n, count, n_columns, where, shown, tile):
    # rows n .. n + count of logits (N, C) -> tile; what `where` hides is -inf. shown: room to hide it in
    width = lanes(logits)
    if where is None:
        transpose(logits, n * n_columns, n_columns, count, n_columns, tile, 0, width)
    else:
        for r in range(count):
            store(load_shown(logits, (n + r) * n_columns, n_columns, where), shown, r * width)
        transpose(shown, 0, width, count, n_columns, tile, 0, width)


@step
def max_columns(tile, n_columns):
    width = lanes(tile)
    top = splat(tile, -np.inf)
    for c in range(n_columns):
        top = larger(load(tile, c * width), top)
    return top


@step
def exp_columns(tile, n_columns, top, temperature, apart, keep):
    # ones, others as exp_row gives, one row a lane; unless keep is None, e takes the place of the tile
    width = lanes(tile)
    ones, others = splat(tile, 0), splat(tile, 0)
    for c in range(n_columns):
        e = exp(distance(load(tile, c * width), top, temperature))
        if keep is not None:
            store(e, tile, c * width)
        ones, others = count_apart(e, ones, others, apart)
    return ones, others


@step
def log_sums(ones, others, lane, logs):
    # logs (lanes,), float64: log(ones + others) of each lane; lane (lanes,): room, in the dtype of the vectors
    store(ones, pointer(lane), 0)
    for r in range(lane.shape[0]):
        logs[r] = np.float64(lane[r]) - 1.0
    store(others, pointer(lane), 0)
    for r in range(lane.shape[0]):
        logs[r] = log1p(logs[r] + np.float64(lane[r]))


@step
def _blank(n, count, n_columns, where, value, out):
    # the value in rows n .. n + count of out where they are hidden
    if where is not None:
        for j in range(n * n_columns, (n + count) * n_columns, lanes(out)):
            some = min(lanes(out), (n + count) * n_columns - j)
            shown = load_mask(where, j, some, out)
            store_some(choose(shown, load_some(out, j, some, 0), splat(out, value)), out, j, some)


@step
def _spread(like, temperature):
    return None if temperature is None else splat(like, temperature)
