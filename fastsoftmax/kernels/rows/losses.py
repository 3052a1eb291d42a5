"""Cross-entropy and squared error on softmax: the loss of each row and its gradient with respect to the logits.

Targets are labels (N,) of int64, -1 for a row that is left out, or distributions (N, C); both are handed over, one of
them with no rows, so that a kernel is compiled once for either. Weights are float64 (N,) for the rows and of the
logits' dtype (C,) for the classes; an empty array stands for weights that are not given, all 1.
With keep = 1 - smoothing, spread = smoothing / C and the class weights w, the target that a row is compared with is

    t_c = w_c (keep target_c + spread)          target_c = 1 at the label and 0 elsewhere, for a label

for cross-entropy; squared error leaves w out of t and weighs the row by it.

A row of weight 0 is left out: loss 0, gradient 0, whatever its logits are. `losses` (N,) are float64 and weighted by
sample_weight; `grad` (N, C) is also multiplied by `scale`, which is how a mean is made of a sum. An empty one is not
wanted.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp_each, log1p_each
from fastsoftmax.kernels.rows.softmax import (
    LOGS,
    free_until,
    in_tiles,
    put_tiles,
    take_tiles,
    tiled_rows,
)
from fastsoftmax.kernels.rows.strips import FLOAT64, above_one, distances, sums_of_tile
from fastsoftmax.kernels.rows.targets import (
    left_out,
    target_added,
    target_at,
    target_of,
    weight_of_class,
    weight_of_row,
    weight_of_target,
    zero_row,
)
from fastsoftmax.kernels.rows.vecmath import exp_row, fill_row, max_row, streams_rows, sum_values
from fastsoftmax.kernels.simd import (
    below,
    either,
    equal,
    fma,
    lanes,
    load,
    load_masked,
    must_be_writable,
    one_hot,
    pointer,
    select,
    splat,
    stack_column,
    stack_square,
    stack_tiles,
    store,
    store_fence,
)
from fastsoftmax.kernels.threads import share


@kernel
def cross_entropy_rows(logits, labels, distribution, sample_weight, class_weight, smoothing, scale, losses, grad, team):
    # logits (N, C), labels (N,) or distribution (N, C) -> losses (N,), grad (N, C) or empty
    must_be_writable(pointer(losses))
    must_be_writable(pointer(grad))
    n_rows, n_columns = logits.shape
    if labels.size > 0 and n_columns > 0 and smoothing == 0.0 and in_tiles(logits):
        arguments = (logits, labels, sample_weight, class_weight, scale, losses, grad)
        share(team, n_rows, n_columns, _cross_entropy_tiles, arguments)
    else:
        targets = (labels, distribution, sample_weight, class_weight, smoothing)
        share(team, n_rows, n_columns, _cross_entropy_span, (logits, targets, scale, losses, grad, streams_rows(grad)))


@routine(deferred=True)
def _cross_entropy_tiles(first, last, logits, labels, sample_weight, class_weight, scale, losses, grad):
    # Labels, a row a lane, in tiles as in softmax.py. The label of each row is a float, -1 if it is left out.
    width, n_columns, most = lanes(logits), logits.shape[1], tiled_rows(logits)
    tiles, sums, row_weight = stack_tiles(logits), stack_square(logits), stack_column(FLOAT64)
    label_of, factor_of, totals = stack_column(logits), stack_column(logits), stack_column(logits)
    tops, logs = stack_column(logits), stack_column(logits)
    weights = (pointer(sample_weight), sample_weight.size > 0, pointer(class_weight), class_weight.size > 0)
    weighs, with_grad = sample_weight.size > 0 or class_weight.size > 0, grad.size > 0
    free = free_until(last, logits, grad) if with_grad else last
    n = first
    while n < last:  # range would divide by the step
        rows, z, label_at, loss_at = min(most, last - n), pointer(logits), pointer(labels), pointer(losses)
        _take_labels(label_at, weights, scale, n, rows, row_weight, label_of, factor_of)
        take_tiles(z, logits.shape[0], n_columns, n, rows, tiles)
        for r in range(0, rows, width):
            store(distances(tiles, r * n_columns, n_columns, None, tiles), tops, r)
        exp_each(tiles, -(-rows // width) * n_columns)
        for r in range(0, rows, width):
            ones, others = sums_of_tile(tiles, r * n_columns, n_columns, True, sums)
            store(ones + others, totals, r)
            store(above_one(ones, others), logs, r)
        log1p_each(logs, rows)
        _put_losses(z, n_columns, label_at, weighs, n, rows, row_weight, label_of, tops, logs, loss_at)
        if with_grad:
            for r in range(0, rows, width):
                at, nothing = r * n_columns, splat(tiles, 0)
                label, by_label = load(label_of, r), load(factor_of, r)
                factor, absent = by_label / load(totals, r), below(label, nothing)
                for c in range(n_columns):
                    minus = select(equal(label, splat(tiles, c)), nothing - by_label, nothing)
                    value = fma(load(tiles, at + c * width), factor, minus)
                    store(select(absent, nothing, value), tiles, at + c * width)
            put_tiles(tiles, n_columns, n, rows, free, pointer(grad))
        n += most


@inlined
def _take_labels(label_at, weights, scale, n, rows, row_weight, label_of, factor_of):
    # what each row weighs, its label, and what its gradient is multiplied by
    weight_at, by_row, class_at, by_class = weights
    if by_row or by_class:
        for r in range(rows):
            label, weight = label_at[n + r], weight_at[n + r] if by_row else 1.0
            takes_part = label >= 0 and weight != 0.0
            if takes_part and by_class:
                weight *= np.float64(class_at[label])
            row_weight[r] = weight if takes_part else 0.0
            label_of[r] = label if takes_part else -1
            factor_of[r] = scale * weight if takes_part else 0.0
    else:  # no branch, so that LLVM makes vectors of it
        for r in range(rows):
            label = np.int32(label_at[n + r])
            label_of[r], factor_of[r] = label, scale if label >= 0 else 0.0


@inlined
def _put_losses(z, n_columns, label_at, weighs, n, rows, row_weight, label_of, tops, logs, loss_at):
    # log sum_k exp(z_k - max z) + max z - z_label of each row, before its logits may be overwritten
    if weighs:
        for r in range(rows):
            loss = 0.0
            if row_weight[r] != 0.0:  # a weight of 0 hides an infinite gap
                gap = np.float64(tops[r]) - np.float64(z[(n + r) * n_columns + label_at[n + r]])
                loss = row_weight[r] * (np.float64(logs[r]) + gap)
            elif label_of[r] >= 0:
                loss = row_weight[r] * np.float64(logs[r])
            loss_at[n + r] = loss
    else:
        for r in range(rows):
            label = label_at[n + r]
            gap = np.float64(tops[r]) - np.float64(z[(n + r) * n_columns + max(label, 0)])
            loss_at[n + r] = np.float64(logs[r]) + gap if label >= 0 else 0.0


@routine(counts_references=True, deferred=True)
def _cross_entropy_span(first, last, logits, targets, scale, losses, grad, streaming):
    labels, distribution, sample_weight, class_weight, smoothing = targets
    n_columns, has_labels, with_grad = logits.shape[1], labels.size > 0, grad.size > 0
    apart = streaming or not has_labels or not with_grad  # grad may be the distribution itself
    scratch = np.empty(n_columns if apart else 0, logits.dtype)
    block = min(LOGS, last - first)
    weights, masses, gaps, logs = np.empty(block), np.empty(block), np.empty(block), np.empty(block)
    for begin in range(first, last, LOGS):
        count = min(LOGS, last - begin)
        for r in range(count):
            n = begin + r
            weights[r] = weight_of_row(sample_weight, n)
            if left_out(labels, n, weights[r]):
                zero_row(pointer(grad), n, n_columns, with_grad)
                weights[r], masses[r], gaps[r], logs[r] = 0.0, 0.0, 0.0, 0.0
                continue
            z, start = pointer(logits), n * n_columns
            e, at = either(apart, pointer(scratch), pointer(grad)), 0 if apart else start
            top = max_row(z, start, n_columns)
            target = target_of(z, labels, distribution, n, n_columns, class_weight, smoothing)
            spread_out = not has_labels or smoothing != 0.0  # else only the label's t_c is not 0
            mass, gap, at_label, label_gap = 0.0, 0.0, 0.0, 0.0  # M = sum_c t_c and sum_c t_c (max z - z_c)
            if spread_out:
                mass = sum_values(z, n_columns, target_added, (z, *target))
                gap = sum_values(z, n_columns, _gap_added, (z, start, splat(z, top), *target))
            if has_labels:
                at_label = (1.0 - smoothing) * weight_of_class(class_weight, labels[n])
                if weights[r] * at_label != 0.0:  # a weight of 0 hides an infinite gap
                    label_gap = np.float64(top) - np.float64(logits[n, labels[n]])
                mass += at_label
                gap += at_label * label_gap
            ones, others = exp_row(z, start, n_columns, splat(z, top), None, True, e, at)
            if with_grad:
                # dloss/dz_c = M p_c - t_c, which is p - y without weights and smoothing
                scaled = scale * weights[r]  # first: the product of tiny weights may underflow
                factor = splat(z, scaled * mass) / (splat(z, ones) + splat(z, others))
                label = labels[n] if has_labels else np.int64(-1)
                by_label = (e, at, factor, label, scaled * at_label)
                if spread_out:
                    arguments = (by_label, splat(z, -scaled), target)
                    fill_row(pointer(grad), start, n_columns, streaming, _grad_by_target, arguments)
                else:
                    fill_row(pointer(grad), start, n_columns, streaming, _grad_by_label, by_label)
            if not spread_out:
                weights[r], mass, gap = weights[r] * at_label, 1.0, label_gap
            masses[r], gaps[r], logs[r] = mass, gap, (ones - 1.0) + others if n_columns > 0 else 0.0
        log1p_each(pointer(logs), count)
        for r in range(count):
            # sum_c t_c (log sum_k exp z_k - z_c) = M log sum_k exp(z_k - max z) + sum_c t_c (max z - z_c)
            losses[begin + r] = weights[r] * (masses[r] * logs[r] + gaps[r])
    if streaming:
        store_fence()


@inlined
def _grad_by_label(j, count, e, at, factor, label, at_label):
    return fma(load_masked(e, at + j, count, 0), factor, one_hot(e, label - j, -at_label))


@inlined
def _grad_by_target(j, count, by_label, minus_weight, target):
    return fma(minus_weight, target_at(j, count, by_label[0], *target), _grad_by_label(j, count, *by_label))


@inlined
def _gap_added(total, j, count, z, start, top, *target):
    t = target_at(j, count, z, *target)  # 0 hides an infinite gap
    gap = top - load_masked(z, start + j, count, 0)
    return select(equal(t, splat(z, 0)), total, fma(t, gap, total))


@kernel
def squared_error_rows(logits, labels, distribution, sample_weight, class_weight, smoothing, scale, losses, grad, team):
    # logits (N, C), labels (N,) or distribution (N, C) -> losses (N,), grad (N, C) or empty
    targets = (labels, distribution, sample_weight, class_weight, smoothing)
    arguments = (logits, targets, scale, losses, grad, streams_rows(grad))
    share(team, logits.shape[0], logits.shape[1], _squared_error_span, arguments)


@routine(counts_references=True)
def _squared_error_span(first, last, logits, targets, scale, losses, grad, streaming):
    labels, distribution, sample_weight, class_weight, smoothing = targets
    n_columns, has_labels, with_grad = logits.shape[1], labels.size > 0, grad.size > 0
    scratch = np.empty(n_columns, logits.dtype)
    for n in range(first, last):
        weight = weight_of_row(sample_weight, n)
        if not left_out(labels, n, weight):
            weight *= weight_of_target(labels, distribution, n, class_weight)
        if left_out(labels, n, weight):
            zero_row(pointer(grad), n, n_columns, with_grad)
            losses[n] = 0.0
            continue
        z, e = pointer(logits), pointer(scratch)
        top = splat(z, max_row(z, n * n_columns, n_columns))
        _, total = exp_row(z, n * n_columns, n_columns, top, None, None, e, 0)
        target = target_of(z, labels, distribution, n, n_columns, class_weight[:0], smoothing)
        label = labels[n] if has_labels else np.int64(-1)
        difference = (e, splat(z, 1.0 / total), label, 1.0 - smoothing, target)
        losses[n] = weight * sum_values(z, n_columns, _square_added, difference)
        if with_grad:
            # g = dloss/dp = 2 (p - t), dloss/dz_j = p_j (g_j - <g, p>)
            inner = splat(z, sum_values(z, n_columns, _difference_times_prob, difference))
            arguments = (splat(z, 2.0 * scale * weight), inner, difference)
            fill_row(pointer(grad), n * n_columns, n_columns, streaming, _squared_error_grad_at, arguments)
    if streaming:
        store_fence()


@inlined
def _difference_at(j, count, e, factor, label, at_label, target):
    # p_j - t_j
    minus = one_hot(e, label - j, -at_label)
    return fma(load_masked(e, j, count, 0), factor, minus) - target_at(j, count, e, *target)


@inlined
def _square_added(total, j, count, *difference):
    value = _difference_at(j, count, *difference)
    return fma(value, value, total)


@inlined
def _difference_times_prob(total, j, count, e, factor, *rest):
    return fma(_difference_at(j, count, e, factor, *rest), load_masked(e, j, count, 0) * factor, total)


@inlined
def _squared_error_grad_at(j, count, scale, inner, difference):
    prob = load_masked(difference[0], j, count, 0) * difference[1]
    return scale * prob * (_difference_at(j, count, *difference) - inner)
