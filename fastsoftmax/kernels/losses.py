"""Cross-entropy and squared error on softmax: the loss of each row and its gradient with respect to the logits.

Targets come as labels (N,), -1 for a row that is left out, or as distributions (N, C). With keep = 1 - smoothing,
spread = smoothing / C and the class weights w (None: all 1), the target that a row is compared with is

    t_c = w_c (keep target_c + spread)          target_c = 1 at the label and 0 elsewhere, for a label

for cross-entropy; squared error leaves w out of t and weighs the row by it.

A row of weight 0 is left out: loss 0, gradient 0, whatever its logits are. `losses` (N,) are float64 and weighted by
sample_weight; `grad` (N, C), or None, is also multiplied by `scale`, which is how a mean is made of a sum.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, reduction
from fastsoftmax.kernels.softmax import exp_rows, scale_row, workspace
from fastsoftmax.kernels.vecmath import CHUNK, add, dot_row, finish, log1p, part, row, select


@kernel
def cross_entropy_rows(logits, targets, sample_weight, class_weight, smoothing, scale, losses, grad):
    # logits (N, C), targets (N,) or (N, C) -> losses (N,), grad (N, C) or None
    size, scratch, tops, rests = workspace(logits)
    log_sums = np.empty(size)
    for first in range(0, logits.shape[0], size):
        count = min(size, logits.shape[0] - first)
        exp_rows(logits, first, count, None, None, scratch, tops, rests)
        for r in range(count):
            log_sums[r] = log1p(rests[r])  # a loop of its own, because it vectorises
        for r in range(count):
            n = first + r
            weight = 1.0 if sample_weight is None else sample_weight[n]
            row_grad = None if grad is None else row(grad, n)
            if _left_out(targets, n, weight):
                losses[n] = _zero_row(row_grad)
                continue
            label = targets[n] if targets.ndim == 1 else None
            target = None if targets.ndim == 1 else row(targets, n)
            at_label, mass, distance = _target_moments(row(logits, n), tops[r], label, target, class_weight, smoothing)
            losses[n] = weight * (mass * log_sums[r] + distance)
            if grad is not None:
                by_prob, by_target = scale * weight * mass / (1.0 + rests[r]), scale * weight
                _cross_entropy_grad_row(
                    row(scratch, r), label, target, class_weight, smoothing, at_label, by_prob, by_target, row_grad
                )


@kernel
def _target_moments(logits, top, label, target, class_weight, smoothing):
    # One of label and target (C,) is None -> t at the label, M = sum_c t_c, and sum_c t_c (max z - z_c); then
    # loss = sum_c t_c (log sum_k exp z_k - z_c) = M log sum_k exp(z_k - max z) + sum_c t_c (max z - z_c)
    at_label, mass, distance = 0.0, 0.0, 0.0
    if target is not None or smoothing != 0.0:
        keep, spread = _shares(smoothing, logits)
        mass, distance = _spread_moments(logits, top, target, class_weight, keep, spread)
    if label is not None:
        at_label = 1.0 - smoothing
        if class_weight is not None:
            at_label *= class_weight[label]
        if at_label != 0.0:  # a weight of 0 hides an infinite distance
            mass += at_label
            distance += at_label * (np.float64(top) - np.float64(logits[label]))
    return at_label, mass, distance


@kernel
def _cross_entropy_grad_row(e, label, target, class_weight, smoothing, at_label, by_prob, by_target, grad):
    # dloss/dz_c = M p_c - t_c, which is p - y without weights and smoothing; e (C,) = exp(z - max z)
    factor, share = e.dtype.type(by_prob), e.dtype.type(by_target)
    if target is not None or smoothing != 0.0:
        keep, spread = _shares(smoothing, e)
        for c in range(grad.shape[0]):
            grad[c] = factor * e[c] - share * _target_at(c, target, class_weight, keep, spread)
    else:
        for c in range(grad.shape[0]):
            grad[c] = factor * e[c]
    if label is not None:
        grad[label] -= e.dtype.type(by_target * at_label)


@kernel
def squared_error_rows(logits, targets, sample_weight, class_weight, smoothing, scale, losses, grad):
    # logits (N, C), targets (N,) or (N, C) -> losses (N,), grad (N, C) or None
    size, scratch, tops, rests = workspace(logits)
    difference = np.empty(logits.shape[1], logits.dtype)
    for first in range(0, logits.shape[0], size):
        count = min(size, logits.shape[0] - first)
        exp_rows(logits, first, count, None, None, scratch, tops, rests)
        for r in range(count):
            n = first + r
            weight = 1.0 if sample_weight is None else sample_weight[n]
            if class_weight is not None and not _left_out(targets, n, weight):
                weight *= _weight_of_target(targets, n, class_weight)
            row_grad = None if grad is None else row(grad, n)
            if _left_out(targets, n, weight):
                losses[n] = _zero_row(row_grad)
                continue
            label = targets[n] if targets.ndim == 1 else None
            target = None if targets.ndim == 1 else row(targets, n)
            scale_row(row(scratch, r), logits.dtype.type(1.0 / (1.0 + rests[r])), row(scratch, r))
            losses[n] = weight * _squared_error_row(
                row(scratch, r), label, target, smoothing, scale * weight, difference, row_grad
            )


@kernel
def _squared_error_row(probs, label, target, smoothing, scale, difference, grad):
    # One of label and target (C,) is None. loss = sum_c (p_c - t_c)^2, g = dloss/dp = 2 (p - t),
    # dloss/dz_j = p_j (g_j - <g, p>)
    keep, spread = _shares(smoothing, probs)
    for c in range(probs.shape[0]):
        difference[c] = probs[c] - _target_at(c, target, None, keep, spread)
    if label is not None:
        difference[label] -= probs.dtype.type(1.0 - smoothing)
    if grad is not None:
        inner = probs.dtype.type(dot_row(probs, difference))
        factor = probs.dtype.type(2.0 * scale)
        for c in range(grad.shape[0]):
            grad[c] = factor * probs[c] * (difference[c] - inner)
    return dot_row(difference, difference)


@kernel
def weight_taking_part(targets, sample_weight, class_weight):
    # targets (N,) or (N, C) -> how many rows are not left out by their label, and the sum of their weights
    present, total = 0, 0.0
    for n in range(targets.shape[0]):
        if not _left_out(targets, n, 1.0):
            weight = 1.0 if sample_weight is None else sample_weight[n]
            if class_weight is not None:
                weight *= _weight_of_target(targets, n, class_weight)
            present, total = present + 1, total + weight
    return present, total


@kernel
def first_bad_label(labels, n_classes, ignored):
    # labels (N,) int64, ignored a label or None -> the first index of a label outside 0 .. n_classes - 1, or -1
    for n in range(labels.shape[0]):
        if labels[n] < 0 or labels[n] >= n_classes:
            if ignored is None or labels[n] != ignored:
                return n
    return -1


@kernel
def _left_out(targets, n, weight):
    if targets.ndim == 1:
        return weight == 0.0 or targets[n] < 0
    return weight == 0.0


@kernel
def _weight_of_target(targets, n, class_weight):
    if targets.ndim == 1:
        return np.float64(class_weight[targets[n]])
    return dot_row(row(targets, n), class_weight)


@kernel
def _shares(smoothing, like):
    # keep and spread, in the dtype of a row
    return like.dtype.type(1.0 - smoothing), like.dtype.type(smoothing / max(1, like.shape[0]))


@kernel
def _zero_row(grad):
    # grad (C,) or None -> the loss of a row that is left out
    if grad is not None:
        grad[:] = 0
    return 0.0


@kernel
def _target_at(c, target, class_weight, keep, spread):
    # t_c but for the label's own share
    value = spread
    if target is not None:
        value = keep * target[c] + spread
    if class_weight is not None:
        value = value * class_weight[c]
    return value


@kernel
def _spread_moments(logits, top, target, class_weight, keep, spread):
    # sum_c t_c and sum_c t_c (max z - z_c), but for the label's own share; by chunks, as every sum over a row
    mass, lost_mass, distance, lost_distance = 0.0, 0.0, 0.0, 0.0
    for start in range(0, logits.shape[0], CHUNK):
        count = min(CHUNK, logits.shape[0] - start)
        target_part = None if target is None else part(target, start, count)
        weight_part = None if class_weight is None else part(class_weight, start, count)
        moments = _chunk_moments(part(logits, start, count), top, target_part, weight_part, keep, spread)
        mass, lost_mass = add(mass, lost_mass, np.float64(moments[0]))
        distance, lost_distance = add(distance, lost_distance, np.float64(moments[1]))
    return finish(mass, lost_mass), finish(distance, lost_distance)


@reduction
def _chunk_moments(logits, top, target, class_weight, keep, spread):
    zero = logits.dtype.type(0)
    mass, distance = zero, zero
    for c in range(logits.shape[0]):
        share = _target_at(c, target, class_weight, keep, spread)
        mass += share
        distance += select(share == zero, zero, share * (top - logits[c]))  # 0 times infinity is 0 here
    return mass, distance
