"""What a row is compared with, and what it weighs: labels, distributions, weights, smoothing as losses.py has them."""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.rows.vecmath import (
    dot_row,
)
from fastsoftmax.kernels.simd import (
    first_lanes,
    fma,
    load_masked,
    pointer,
    select,
    splat,
)
from fastsoftmax.kernels.views import matrix, part

LABELS = 512  # that are looked at together


@inlined
def target_of(like, labels, distribution, n, n_columns, class_weight, smoothing):
    # what target_at needs for row n: the distribution, whether it counts, where it starts, class weights, keep, spread
    keep, spread = splat(like, 1.0 - smoothing), splat(like, smoothing / max(1, n_columns))
    counts = labels.size == 0
    return pointer(distribution), counts, n * n_columns, pointer(class_weight), class_weight.size, keep, spread


@inlined
def target_added(total, j, count, like, *target):
    return total + target_at(j, count, like, *target)


@inlined
def target_at(j, count, like, distribution, counts, start, class_weight, n_weights, keep, spread):
    # t_j without what the label adds to its own, then zeros
    value = spread
    if counts:
        value = fma(load_masked(distribution, start + j, count, 0), keep, spread)
    value = value * load_masked(class_weight, j, min(count, n_weights), 1)
    return select(first_lanes(like, count), value, splat(like, 0))


@kernel
def weight_taking_part(labels, distribution, sample_weight, class_weight):
    # targets -> how many rows are not left out by their label, and the sum of their weights
    n_rows, present, total = max(labels.shape[0], distribution.shape[0]), 0, 0.0
    if sample_weight.size == 0 and class_weight.size == 0:  # no branch, so that LLVM makes vectors of it
        for n in range(labels.shape[0]):
            present += 1 if labels[n] >= 0 else 0
        present = present if labels.size > 0 else n_rows
        return present, np.float64(present)
    for n in range(n_rows):
        if not left_out(labels, n, 1.0):
            present += 1
            weight = weight_of_row(sample_weight, n)
            if weight != 0.0:  # else it is absent, though its target be NaN
                total += weight * weight_of_target(labels, distribution, n, class_weight)
    return present, total


@kernel
def first_bad_label(labels, n_classes, ignored, ignores):
    # labels (N,) int64 -> the first index of a label outside 0 .. n_classes - 1, or -1; `ignored` is right if `ignores`
    for begin in range(0, labels.shape[0], LABELS):
        end = min(begin + LABELS, labels.shape[0])
        outside = False
        for n in range(begin, end):  # no exit, so that LLVM makes vectors of it
            outside |= (labels[n] < 0) | (labels[n] >= n_classes)
        if outside:
            for n in range(begin, end):
                if (labels[n] < 0 or labels[n] >= n_classes) and not (ignores and labels[n] == ignored):
                    return n
    return -1


@inlined
def left_out(labels, n, weight):
    if weight == 0.0:
        return True
    return labels.size > 0 and labels[n] < 0


@inlined
def targets_of_rows(labels, distribution, first, count):
    # labels and distribution of these rows; what has no rows has none
    n_columns = distribution.shape[1]
    some = matrix(distribution, first * n_columns, count if labels.size == 0 else 0, n_columns)
    return part(labels, first if labels.size else 0, count if labels.size else 0), some


@inlined(counts_references=True)
def weights_of(sample_weight, first, count):
    return part(sample_weight, first, count) if sample_weight.size else part(sample_weight, 0, 0)


@inlined
def weight_of_row(sample_weight, n):
    return 1.0 if sample_weight.size == 0 else sample_weight[n]


@inlined
def weight_of_class(class_weight, label):
    return 1.0 if class_weight.size == 0 else np.float64(class_weight[label])


@inlined
def weight_of_target(labels, distribution, n, class_weight):
    if class_weight.size == 0:
        return 1.0
    if labels.size > 0:
        return np.float64(class_weight[labels[n]])
    n_columns = distribution.shape[1]
    return dot_row(pointer(distribution), n * n_columns, pointer(class_weight), 0, n_columns)


@inlined
def zero_row(out, n, n_columns, wanted):
    if wanted:
        for j in range(n * n_columns, (n + 1) * n_columns):
            out[j] = 0
