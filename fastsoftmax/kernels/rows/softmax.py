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
from fastsoftmax.kernels.rows.elementary import log1p_each
from fastsoftmax.kernels.rows.strips import FLOAT64, exp_tile, log_sums, log_sums_of_lanes, max_strip, not_finite
from fastsoftmax.kernels.rows.vecmath import distance, exp_row, fetch_ahead, fill_row, max_row, scaling, streams
from fastsoftmax.kernels.simd import (
    either,
    gather,
    lanes,
    load,
    load_masked,
    pointer,
    scatter,
    splat,
    stack_square,
    stack_tile,
    store,
    store_fence,
)
from fastsoftmax.kernels.threads import share

TILE = 3  # vectors of a row; a stack_tile has TILE_VECTORS
LOGS = 64  # log1p of so many rows at once vectorises (17 classes: 15 ns a row against 25)
IN_CACHE = 8192  # elements that one row after another may take before the first is read again


@kernel
def softmax_rows(logits, temperature, out, team):
    # p_j = e_j / sum_k e_k,  e_j = exp((z_j - max z) / T);  logits (N, C) -> out (N, C)
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _softmax_tiles, (logits, temperature, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _softmax_long, (logits, temperature, out, streams(out)))


@routine(deferred=True)
def _softmax_tiles(first, last, logits, temperature, out):
    width, n_columns = lanes(logits), logits.shape[1]
    tile, sums = stack_tile(logits), stack_square(logits)
    free = free_until(last, logits, out)
    for n in range(first, last, width):
        count = min(width, last - n)
        take_tile(pointer(logits), logits.shape[0], n_columns, n, count, tile)
        top = max_strip(tile, 0, width, n_columns, width)
        _, total = exp_tile(tile, n_columns, top, scaling(tile, temperature), None, tile, sums)
        factor = splat(tile, 1) / total
        for c in range(n_columns):
            store(load(tile, c * width) * factor, tile, c * width)
        put_tile(tile, n_columns, n, count, free, pointer(out))


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
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _log_softmax_tiles, (logits, temperature, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _log_softmax_long, (logits, temperature, out, streams(out)))


@routine(deferred=True)
def _log_softmax_tiles(first, last, logits, temperature, out):
    width, n_columns = lanes(logits), logits.shape[1]
    tile, e, sums = stack_tile(logits), stack_tile(logits), stack_square(logits)
    lane, scale = stack_square(logits), scaling(tile, temperature)
    free = free_until(last, logits, out)
    for n in range(first, last, width):
        count = min(width, last - n)
        take_tile(pointer(logits), logits.shape[0], n_columns, n, count, tile)
        top = max_strip(tile, 0, width, n_columns, width)
        ones, others = exp_tile(tile, n_columns, top, scale, True, e, sums)
        log_sum = log_sums_of_lanes(ones, others, lane)
        for c in range(n_columns):
            store(distance(load(tile, c * width), top, scale) - log_sum, tile, c * width)
        put_tile(tile, n_columns, n, count, free, pointer(out))


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
    if in_tiles(logits):
        share(team, logits.shape[0], logits.shape[1], _logsumexp_tiles, (logits, out))
    else:
        share(team, logits.shape[0], logits.shape[1], _logsumexp_long, (logits, out))


@routine(deferred=True)
def _logsumexp_tiles(first, last, logits, out):
    width, n_columns = lanes(logits), logits.shape[1]
    tile, sums = stack_tile(logits), stack_square(logits)
    tops, logs = stack_square(logits), stack_square(FLOAT64)
    for n in range(first, last, width):
        count = min(width, last - n)
        take_tile(pointer(logits), logits.shape[0], n_columns, n, count, tile)
        top = max_strip(tile, 0, width, n_columns, width)
        ones, others = exp_tile(tile, n_columns, top, None, True, tile, sums)
        log_sums(ones, others, tops, logs)
        store(top, tops, 0)
        _add_tops(logits, n, count, tops, logs, out)


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
        out[n + r] = np.float64(tops[r]) + logs[r]
        if not np.isfinite(tops[r]):
            start, length = (n + r) * logits.shape[1], logits.shape[1]
            out[n + r] = not_finite(pointer(logits), start, 1, length, tops[r])


# Rows side by side: lane r of vector c of a tile is element c of row r.


@inlined
def in_tiles(logits):
    # whether rows of this length are worked on in tiles
    return logits.shape[1] <= TILE * lanes(logits)


@inlined
def take_tile(x, n_rows, n_columns, n, count, tile):
    # rows n .. n + count of x (N, C) -> tile
    fetch_ahead(x, n * n_columns, n_columns)
    gather(x, n * n_columns, count, n_columns, (n_rows - n - count) * n_columns, tile)


@inlined
def free_until(last, read, out):
    # the row up to which rows of out may hold anything before they are written: none if they are still to be read
    return 0 if read.ctypes.data == out.ctypes.data else last


@inlined
def put_tile(tile, n_columns, n, count, free, out):
    # tile -> rows n .. n + count of out (N, C); free: see free_until
    scatter(tile, count, n_columns, out, n * n_columns, max(0, free - n - count) * n_columns)
