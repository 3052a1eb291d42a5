"""softmax, log_softmax and logsumexp over the rows of a matrix.

Shapes: N rows, C columns, C-contiguous, one dtype for all; `temperature` may be None, which compiles it away. Each
kernel checks nothing, and hands spans of rows to threads if it is given a team (threads.py; 0: no team). There are two
ways through a row, by its length alone, so that its bits do not depend on the rows beside it:

- in tiles, up to TILE vectors: as many rows at once as a vector has lanes, transposed, so that each lane works on a row
  of its own and no lane is idle (AVX-512 and AVX2, rows of 17: 8 and 9 ns against 14 and 17; of 64 there is no gain);
- long: a vector of one row after another, and what does not fill one under a mask. A row of more than one vector is
  added up in the same order either way.

out may be the input itself.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp_each, log1p_each
from fastsoftmax.kernels.rows.strips import above_one, distances, not_finite, sums_of_tile
from fastsoftmax.kernels.rows.vecmath import distance, exp_row, fill_row, max_row, scaling, streams_rows
from fastsoftmax.kernels.simd import (
    TILE_VECTORS,
    TILED_ROWS,
    either,
    gather,
    lanes,
    load,
    load_masked,
    must_be_writable,
    pointer,
    scatter,
    splat,
    stack_column,
    stack_square,
    stack_tiles,
    store,
    store_fence,
)
from fastsoftmax.kernels.threads import share

TILE = 3  # vectors of a row
LOGS = 64  # log1p of so many rows at once vectorises (17 classes: 15 ns a row against 25)
IN_CACHE = 8192  # elements that one row after another may take before the first is read again


@kernel
def softmax_rows(logits, temperature, out, team):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (N, C) -> out (N, C)
    must_be_writable(pointer(out))
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _softmax_tiles, (logits, temperature, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _softmax_long, (logits, temperature, out, streams_rows(out)))


@routine(deferred=True)
def _softmax_tiles(first, last, logits, temperature, out):
    width, n_columns, most = lanes(logits), logits.shape[1], tiled_rows(logits)
    tiles, sums = stack_tiles(logits), stack_square(logits)
    free = free_until(last, logits, out)
    n = first
    while n < last:  # range would divide by the step
        rows = min(most, last - n)
        take_tiles(pointer(logits), logits.shape[0], n_columns, n, rows, tiles)
        for r in range(0, rows, width):
            distances(tiles, r * n_columns, n_columns, scaling(tiles, temperature), tiles)
        exp_each(tiles, -(-rows // width) * n_columns)
        for r in range(0, rows, width):
            _, total = sums_of_tile(tiles, r * n_columns, n_columns, None, sums)
            factor = splat(tiles, 1) / total
            for j in range(r * n_columns, (r + width) * n_columns, width):
                store(load(tiles, j) * factor, tiles, j)
        put_tiles(tiles, n_columns, n, rows, free, pointer(out))
        n += most


@routine(counts_references=True, deferred=True)
def _softmax_long(first, last, logits, temperature, out, streaming):
    n_columns = logits.shape[1]
    scratch = np.empty(n_columns if streaming else 0, logits.dtype)
    # The maximum is found a row ahead, so that exp need not wait for it (256 x 100: 6.5 us against 7.0).
    ahead = max_row(pointer(logits), first * n_columns, n_columns if first < last else 0)
    for n in range(first, last):
        z, start = pointer(logits), n * n_columns
        e, at = either(streaming, pointer(scratch), pointer(out)), 0 if streaming else start
        top = ahead
        if n + 1 < last:
            ahead = max_row(z, start + n_columns, n_columns)
        scale = scaling(z, temperature)
        _, total = exp_row(z, start, n_columns, splat(z, top), scale, None, e, at)
        fill_row(pointer(out), start, n_columns, streaming, _scaled, (e, at, splat(z, 1.0 / total)))
    if streaming:
        store_fence()


@inlined
def _scaled(j, count, e, at, factor):
    return load_masked(e, at + j, count, 0) * factor


@kernel
def log_softmax_rows(logits, temperature, out, team):
    # log p_j = (z_j - max z) / T - log sum_k e_k;  logits (N, C) -> out (N, C)
    must_be_writable(pointer(out))
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _log_softmax_tiles, (logits, temperature, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _log_softmax_long, (logits, temperature, out, streams_rows(out)))


@routine(deferred=True)
def _log_softmax_tiles(first, last, logits, temperature, out):
    width, n_columns, most = lanes(logits), logits.shape[1], tiled_rows(logits)
    tiles, e, sums = stack_tiles(logits), stack_tiles(logits), stack_square(logits)
    tops, logs, scale = stack_column(logits), stack_column(logits), scaling(tiles, temperature)
    free = free_until(last, logits, out)
    n = first
    while n < last:  # range would divide by the step
        rows = min(most, last - n)
        take_tiles(pointer(logits), logits.shape[0], n_columns, n, rows, tiles)
        for r in range(0, rows, width):
            store(distances(tiles, r * n_columns, n_columns, scale, e), tops, r)
        exp_each(e, -(-rows // width) * n_columns)
        for r in range(0, rows, width):
            ones, others = sums_of_tile(e, r * n_columns, n_columns, True, sums)
            store(above_one(ones, others), logs, r)
        log1p_each(logs, rows)
        for r in range(0, rows, width):
            top, log_sum = load(tops, r), load(logs, r)
            for j in range(r * n_columns, (r + width) * n_columns, width):
                store(distance(load(tiles, j), top, scale) - log_sum, tiles, j)
        put_tiles(tiles, n_columns, n, rows, free, pointer(out))
        n += most


@routine(counts_references=True, deferred=True)
def _log_softmax_long(first, last, logits, temperature, out, streaming):
    n_columns = logits.shape[1]
    z = pointer(logits)
    scale = scaling(z, temperature)
    block = max(1, min(LOGS, last - first, IN_CACHE // n_columns))
    tops, logs = np.empty(block, logits.dtype), np.empty(block)
    for begin in range(first, last, block):
        end = min(begin + block, last)
        for n in range(begin, end):
            tops[n - begin] = max_row(z, n * n_columns, n_columns)
            top = splat(z, tops[n - begin])
            ones, others = exp_row(z, n * n_columns, n_columns, top, scale, True, None, 0)
            logs[n - begin] = (ones - 1.0) + others
        log1p_each(pointer(logs), end - begin)
        for n in range(begin, end):
            start, top, log_sum = n * n_columns, splat(z, tops[n - begin]), splat(z, logs[n - begin])
            fill_row(pointer(out), start, n_columns, streaming, _log_prob, (z, start, top, scale, log_sum))
    if streaming:
        store_fence()


@inlined
def _log_prob(j, count, z, start, top, scale, log_sum):
    return distance(load_masked(z, start + j, count, 0), top, scale) - log_sum


@kernel
def logsumexp_rows(logits, out, team):
    # lse = max z + log sum_k e_k;  logits (N, C) -> out (N,)
    must_be_writable(pointer(out))
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _logsumexp_tiles, (logits, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _logsumexp_long, (logits, out))


@routine(deferred=True)
def _logsumexp_tiles(first, last, logits, out):
    width, n_columns, most = lanes(logits), logits.shape[1], tiled_rows(logits)
    tiles, sums = stack_tiles(logits), stack_square(logits)
    tops, logs = stack_column(logits), stack_column(logits)
    n = first
    while n < last:  # range would divide by the step
        rows = min(most, last - n)
        take_tiles(pointer(logits), logits.shape[0], n_columns, n, rows, tiles)
        for r in range(0, rows, width):
            store(distances(tiles, r * n_columns, n_columns, None, tiles), tops, r)
        exp_each(tiles, -(-rows // width) * n_columns)
        for r in range(0, rows, width):
            ones, others = sums_of_tile(tiles, r * n_columns, n_columns, True, sums)
            store(above_one(ones, others), logs, r)
        log1p_each(logs, rows)
        _add_tops(logits, n, rows, tops, logs, out)
        n += most


@routine(counts_references=True, deferred=True)
def _logsumexp_long(first, last, logits, out):
    n_columns = logits.shape[1]
    z = pointer(logits)
    block = min(LOGS, last - first)
    tops, logs = np.empty(block, logits.dtype), np.empty(block)
    for begin in range(first, last, LOGS):
        count = min(LOGS, last - begin)
        for r in range(count):
            start = (begin + r) * n_columns
            tops[r] = max_row(z, start, n_columns)
            ones, others = exp_row(z, start, n_columns, splat(z, tops[r]), None, True, None, 0)
            logs[r] = (ones - 1.0) + others
        log1p_each(pointer(logs), count)
        _add_tops(logits, begin, count, tops, logs, out)


@inlined
def _add_tops(logits, n, count, tops, logs, out):
    for r in range(count):
        out[n + r] = np.float64(tops[r]) + np.float64(logs[r])
        if not np.isfinite(tops[r]):
            start, length = (n + r) * logits.shape[1], logits.shape[1]
            out[n + r] = not_finite(pointer(logits), start, 1, length, tops[r])


# Rows side by side in tiles, one after another: lane r of vector c of a tile is element c of row r. TILED_ROWS rows
# (half as many where they do not fit into TILE_VECTORS) go together: each step is done to all of them before the next,
# so that chains of operations of one tile run beside those of others (1797 x 2, AVX-512: float64 0.46, float32 0.61 of
# the time tile by tile; 1797 x 10: 0.68, 0.85). As routines the steps would take 50 ns longer; to fetch rows ahead
# takes 1.04 times as long (65536 x 10).


@inlined
def in_tiles(logits):
    # whether rows of this length are worked on in tiles
    return logits.shape[1] <= TILE * lanes(logits)


@inlined
def tiled_rows(logits):
    # how many rows are worked on together
    return TILED_ROWS if logits.shape[1] * TILED_ROWS <= TILE_VECTORS * lanes(logits) else TILED_ROWS // 2


@inlined
def take_tiles(x, n_rows, n_columns, n, rows, tiles):
    # rows n .. n + rows of x (N, C) -> tiles
    width = lanes(x)
    for r in range(0, rows, width):
        count, start = min(width, rows - r), (n + r) * n_columns
        ahead = (n_rows - n - r - count) * n_columns
        gather(x, start, count, n_columns, ahead, tiles, r * n_columns)


@inlined
def free_until(last, read, out):
    # the row up to which rows of out may hold anything before they are written: none if they are still to be read
    return 0 if read.ctypes.data == out.ctypes.data else last


@inlined
def put_tiles(tiles, n_columns, n, rows, free, out):
    # tiles -> rows n .. n + rows of out (N, C); free: see free_until
    width = lanes(out)
    for r in range(0, rows, width):
        count = min(width, rows - r)
        spill = max(0, free - n - r - count) * n_columns
        scatter(tiles, r * n_columns, count, n_columns, out, (n + r) * n_columns, spill)
