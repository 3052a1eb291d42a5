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
def distances(x, start, length, scale, to):
    # (x - top) / T of rows side by side in a tile, into another (or the same) at the same place -> top
    width = lanes(x)
    top = max_strip(x, start, width, length, width)
    for j in range(start, start + length * width, width):
        store(distance(load(x, j), top, scale), to, j)
    return top


@inlined
def sums_of_tile(tile, at, length, apart, sums):
    # ones, others as exp_row gives them, a vector each, of the e of rows side by side in a tile: of rows longer than a
    # vector in as many parts as a vector has lanes. sums: room for them
    width, nothing, one = lanes(tile), splat(tile, 0), splat(tile, 1)
    ones, total = nothing, nothing
    if length <= width:
        for c in range(at, at + length * width, width):
            e = load(tile, c)
            if apart is None:
                total = total + e
            else:
                is_one = equal(e, one)
                ones, total = ones + select(is_one, one, nothing), total + select(is_one, nothing, e)
    else:
        if apart is not None:
            for c in range(at, at + length * width, width):
                ones = ones + select(equal(load(tile, c), one), one, nothing)
        for c in range(width):
            part = nothing
            for j in range(c, length, width):
                e = load(tile, at + j * width)
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
def log_sums(ones, others, lane):
    # log(ones + others) of each lane. lane: scratch of their dtype
    store(above_one(ones, others), lane, 0)
    log1p_each(lane, lanes(lane))
    return load(lane, 0)


@inlined
def above_one(ones, others):
    # what log1p makes log(ones + others) of
    return (ones - splat(ones, 1)) + others


@inlined
def not_finite(x, start, stride, length, top):
    # An infinite maximum is the logsumexp itself, unless a NaN, which `larger` passes over, is beside it.
    for j in range(start, start + length * stride, stride):
        if np.isnan(x[j]):
            return x[j]
    return top
