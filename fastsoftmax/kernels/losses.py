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
from fastsoftmax.kernels.softmax import softmax_row
from fastsoftmax.kernels.vecmath import dot_row, exp_row, max_row, row, select


@kernel
def cross_entropy_rows(logits, targets, sample_weight, class_weight, smoothing, scale, losses, grad):
    # logits (N, C), targets (N,) or (N, C) -> losses (N,), grad (N, C) or None
    scratch = np.empty(logits.shape[1], logits.dtype)
    for n in range(logits.shape[0]):
        weight = 1.0 if sample_weight is None else sample_weight[n]
        row_grad = None if grad is None else row(grad, n)
        if _left_out(targets, n, weight):
            losses[n] = _zero_row(row_grad)
        elif targets.ndim == 1:
            losses[n] = cross_entropy_row(
                row(logits, n), targets[n], None, weight, class_weight, smoothing, scale, scratch, row_grad
            )
        else:
            losses[n] = cross_entropy_row(
                row(logits, n), None, row(targets, n), weight, class_weight, smoothing, scale, scratch, row_grad
            )


@kernel
def cross_entropy_row(logits, label, target, weight, class_weight, smoothing, scale, scratch, grad):
    # One of label and target (C,) is None. With M = sum_c t_c, and a distance being max z - z_c,
    # loss = sum_c t_c (log sum_k exp z_k - z_c) = M log sum_k exp(z_k - max z) + sum_c t_c (max z - z_c)
    # dloss/dz_c = M p_c - t_c, which is p - y without weights and smoothing
    top = max_row(logits)
    rest = exp_row(logits, top, None, scratch)
    mass, distance, at_label = 0.0, 0.0, 0.0
    if target is not None or smoothing != 0.0:
        mass, distance = _target_moments(logits, top, target, class_weight, smoothing)
    if label is not None:
        at_label = 1.0 - smoothing
        if class_weight is not None:
            at_label *= class_weight[label]
        if at_label != 0.0:  # a weight of 0 hides an infinite distance
            mass += at_label
            distance += at_label * (np.float64(top) - np.float64(logits[label]))
    if grad is not None:
        by_prob = logits.dtype.type(scale * weight * mass / (1.0 + rest))
        if target is not None or smoothing != 0.0:
            by_target = logits.dtype.type(scale * weight)
            for c in range(grad.shape[0]):
                grad[c] = by_prob * scratch[c] - by_target * _target_at(c, target, class_weight, smoothing, grad)
        else:
            for c in range(grad.shape[0]):
                grad[c] = by_prob * scratch[c]
        if label is not None:
            grad[label] -= logits.dtype.type(scale * weight * at_label)
    return weight * (mass * np.log1p(rest) + distance)


@kernel
def squared_error_rows(logits, targets, sample_weight, class_weight, smoothing, scale, losses, grad):
    # logits (N, C), targets (N,) or (N, C) -> losses (N,), grad (N, C) or None
    scratch = np.empty((2, logits.shape[1]), logits.dtype)
    for n in range(logits.shape[0]):
        weight = 1.0 if sample_weight is None else sample_weight[n]
        row_grad = None if grad is None else row(grad, n)
        left_out = _left_out(targets, n, weight)
        if class_weight is not None and not left_out:
            weight *= _weight_of_target(targets, n, class_weight)
        if left_out or weight == 0.0:
            losses[n] = _zero_row(row_grad)
        elif targets.ndim == 1:
            losses[n] = squared_error_row(row(logits, n), targets[n], None, weight, smoothing, scale, scratch, row_grad)
        else:
            target = row(targets, n)
            losses[n] = squared_error_row(row(logits, n), None, target, weight, smoothing, scale, scratch, row_grad)


@kernel
def squared_error_row(logits, label, target, weight, smoothing, scale, scratch, grad):
    # One of label and target (C,) is None. loss = sum_c (p_c - t_c)^2, g = dloss/dp = 2 (p - t),
    # dloss/dz_j = p_j (g_j - <g, p>)
    probs, difference = row(scratch, 0), row(scratch, 1)
    softmax_row(logits, None, difference, probs)
    for c in range(probs.shape[0]):
        difference[c] = probs[c] - _target_at(c, target, None, smoothing, probs)
    if label is not None:
        difference[label] -= logits.dtype.type(1.0 - smoothing)
    if grad is not None:
        inner = logits.dtype.type(dot_row(probs, difference))
        factor = logits.dtype.type(2.0 * scale * weight)
        for c in range(grad.shape[0]):
            grad[c] = factor * probs[c] * (difference[c] - inner)
    return weight * dot_row(difference, difference)


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
def _zero_row(grad):
    # grad (C,) or None -> the loss of a row that is left out
    if grad is not None:
        grad[:] = 0
    return 0.0


@kernel
def _target_at(c, target, class_weight, smoothing, like):
    # t_c but for the label's own share, in the dtype of `like`
    one = like.dtype.type(1)
    value = like.dtype.type(smoothing) / like.dtype.type(like.shape[0])
    if target is not None:
        value += (one - like.dtype.type(smoothing)) * target[c]
    if class_weight is not None:
        value *= class_weight[c]
    return value


@reduction
def _target_moments(logits, top, target, class_weight, smoothing):
    # sum_c t_c and sum_c t_c (max z - z_c), but for the label's own share; 0 times infinity is 0 here
    zero = logits.dtype.type(0)
    mass, distance = zero, zero
    for c in range(logits.shape[0]):
        share = _target_at(c, target, class_weight, smoothing, logits)
        mass += share
        distance += select(share == zero, zero, share * (top - logits[c]))
    return np.float64(mass), np.float64(distance)
