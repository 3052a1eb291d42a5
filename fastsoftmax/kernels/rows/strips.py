"""Rows side by side, one a lane: the maximum, exp, sums and their logarithms of a strip.

A strip of x starts at a position and goes down in strides of `stride`; `count` lanes of it are used. Along an axis that
is not the last arrays lie like this (columns.py); short rows are transposed into a tile that does (softmax.py).
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined
from fastsoftmax.kernels.rows.elementary import exp, log1p_each
from fastsoftmax.kernels.rows.vecmath import BLOCK, CHUNK, add, distance
from fastsoftmax.kernels.simd import (
    equal,
    lanes,
    larger,
    load,
    load_masked,
    select,
    splat,
    store,
    store_masked,
)

ROWS_OF_BLOCK = BLOCK * CHUNK
FLOAT64 = np.empty(0)  # room for float64, whatever the dtype of the logits


@inlined
def max_strip(x, start, stride, length, count):
    top = splat(x, -np.inf)
    for j in range(start, start + length * stride, stride):
        top = larger(load_masked(x, j, count, -np.inf), top)
    return top


@inlined
def exp_strip(x, start, stride, length, count, top, scale, apart, keep):
    # ones, others as exp_row gives them, but a vector each: one sum a lane. keep: where e goes, (pointer, position,
    # stride), or None. Blocks are added with compensation as in exp_row, and so are their counts: a float32 counts no
    # further than 2^24
    nothing, one = splat(x, 0), splat(x, 1)
    ones, total, lost = nothing, nothing, nothing
    ones_before, uncounted, before, dropped = nothing, nothing, nothing, nothing
    for first in range(0, length, CHUNK):
        if first > 0 and first % ROWS_OF_BLOCK == 0:
            ones_before, uncounted = add(ones_before, uncounted, ones)
            before, dropped = add(before, dropped, total + lost)
            ones, total, lost = nothing, nothing, nothing
        part = nothing
        for c in range(first, min(first + CHUNK, length)):
            j = start + c * stride
            e = exp(distance(load_masked(x, j, count, -np.inf), top, scale))
            if keep is not None:
                store_masked(e, keep[0], keep[1] + c * keep[2], count)
            if apart is None:
                part = part + e
            else:
                is_one = equal(e, one)
                ones, part = ones + select(is_one, one, nothing), part + select(is_one, nothing, e)
        if first == 0:
            total = part
        else:
            total, lost = add(total, lost, part)
    if length > ROWS_OF_BLOCK:
        ones_before, uncounted = add(ones_before, uncounted, ones)
        before, dropped = add(before, dropped, total + lost)
        return ones_before + uncounted, before + dropped
    return ones, total + lost


@inlined
def exp_tile(x, length, top, scale, apart, tile, sums):
    # exp_strip for rows side by side in a tile, whose e go into another (or the same), and with the sums that exp_row
    # gives: of a row that is longer than a vector in as many parts as a vector has lanes. sums: room for them
    width, nothing, one = lanes(x), splat(x, 0), splat(x, 1)
    ones, total = exp_strip(x, 0, width, length, width, top, scale, apart, (tile, 0, width))
    if length > width:
        for c in range(width):
            part = nothing
            for j in range(c, length, width):
                e = load(tile, j * width)
                part = part + (e if apart is None else select(equal(e, one), nothing, e))
            store(part, sums, c * width)
        n_parts = width // 2
        while n_parts > 0:
            for c in range(n_parts):
                store(load(sums, c * width) + load(sums, (c + n_parts) * width), sums, c * width)
            n_parts //= 2
        total = load(sums, 0)
    return ones, total


@inlined
def sum_strip(like, start, stride, length, count, added, arguments):
    # the sum of a value at each position j of a strip, one a lane: added(total, j, count, *arguments) is total + value
    nothing = splat(like, 0)
    total, lost, before, dropped = nothing, nothing, nothing, nothing
    for first in range(0, length, CHUNK):
        if first > 0 and first % ROWS_OF_BLOCK == 0:
            before, dropped = add(before, dropped, finish_strip(total, lost))
            total, lost = nothing, nothing
        part = nothing
        for c in range(first, min(first + CHUNK, length)):
            part = added(part, start + c * stride, count, *arguments)
        total, lost = add(total, lost, part)
    if length > ROWS_OF_BLOCK:
        before, dropped = add(before, dropped, finish_strip(total, lost))
        return finish_strip(before, dropped)
    return finish_strip(total, lost)


@inlined
def finish_strip(total, lost):
    return total + select(equal(lost, lost), lost, splat(total, 0))  # lost is NaN where the sum is infinite


@inlined
def log_sums(ones, others, lane, logs):
    # log(ones + others) of each lane, into float64 logs. lane: scratch of the dtype of ones
    _into_logs(ones, others, lane)
    for r in range(lanes(lane)):
        logs[r] = np.float64(lane[r])


@inlined
def log_sums_of_lanes(ones, others, lane):
    # the same as a vector of the dtype of ones
    _into_logs(ones, others, lane)
    return load(lane, 0)


@inlined
def _into_logs(ones, others, lane):
    store((ones - splat(lane, 1)) + others, lane, 0)
    log1p_each(lane, lanes(lane))


@inlined
def not_finite(x, start, stride, length, top):
    # An infinite maximum is the logsumexp itself, unless a NaN, which `larger` passes over, is beside it.
    for j in range(start, start + length * stride, stride):
        if np.isnan(x[j]):
            return x[j]
    return top
