"""The Hessian of a row's loss in its logits, times a vector: no matrix is built, as for the Jacobian of softmax.

Shapes, targets and weights as in losses.py: probs p and tangent v (N, C) -> out (N, C), which may be tangent itself.
The product of a row is multiplied by its weight and by scale. And, for boosting, an upper bound of the diagonal alone.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
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
from fastsoftmax.kernels.rows.vecmath import dot_row, exp_row, fill_row, max_row, sum_values
from fastsoftmax.kernels.simd import below, fma, load_masked, one_hot, pointer, select, splat
from fastsoftmax.kernels.threads import share

LEAST_HESS = 1e-6  # for boosting: of XGBoost's demo of a custom objective; its own code has 1e-16


@kernel
def cross_entropy_hvp_rows(probs, tangent, labels, distribution, sample_weight, class_weight, smoothing, scale, out):
    # dloss/dz = M p - t with M = sum_c t_c, so H_z v = M J v = M p (v - <p, v>)
    n_columns, p, v, has_labels = probs.shape[1], pointer(probs), pointer(tangent), labels.size > 0
    for n in range(probs.shape[0]):
        start, weight = n * n_columns, weight_of_row(sample_weight, n)
        if left_out(labels, n, weight):
            zero_row(pointer(out), n, n_columns, True)
            continue
        mass = 0.0
        if not has_labels or smoothing != 0.0:
            target = target_of(p, labels, distribution, n, n_columns, class_weight, smoothing)
            mass = sum_values(p, n_columns, target_added, (p, *target))
        if has_labels:
            mass += (1.0 - smoothing) * weight_of_class(class_weight, labels[n])
        inner = splat(p, dot_row(p, start, v, start, n_columns))
        factor = splat(p, scale * weight * mass)
        fill_row(pointer(out), start, n_columns, False, _scaled_jvp_at, (p, v, start, inner, factor))


@inlined
def _scaled_jvp_at(j, count, p, v, start, inner, factor):
    return factor * load_masked(p, start + j, count, 0) * (load_masked(v, start + j, count, 0) - inner)


@kernel
def squared_error_hvp_rows(probs, tangent, labels, distribution, sample_weight, class_weight, smoothing, scale, out):
    # dloss/dz = 2 p (d - <d, p>) with d = p - t; along v, p moves by q = J v = p (v - <p, v>), and
    # H_z v = 2 q (d - <d, p>) + 2 p (q - <q, d + p>)
    n_columns, p, v, has_labels = probs.shape[1], pointer(probs), pointer(tangent), labels.size > 0
    for n in range(probs.shape[0]):
        start, weight = n * n_columns, weight_of_row(sample_weight, n)
        if not left_out(labels, n, weight):
            weight *= weight_of_target(labels, distribution, n, class_weight)
        if left_out(labels, n, weight):
            zero_row(pointer(out), n, n_columns, True)
            continue
        target = target_of(p, labels, distribution, n, n_columns, class_weight[:0], smoothing)
        label = labels[n] if has_labels else np.int64(-1)
        row = (p, v, start, splat(p, dot_row(p, start, v, start, n_columns)), label, 1.0 - smoothing, target)
        slope = splat(p, sum_values(p, n_columns, _slope_added, row))
        change = splat(p, sum_values(p, n_columns, _change_added, row))
        arguments = (splat(p, 2.0 * scale * weight), slope, change, row)
        fill_row(pointer(out), start, n_columns, False, _squared_error_hvp_at, arguments)


@inlined
def _moves_at(j, count, p, v, start, inner, label, at_label, target):
    # p_j, q_j and d_j
    prob = load_masked(p, start + j, count, 0)
    q = prob * (load_masked(v, start + j, count, 0) - inner)
    return prob, q, prob - target_at(j, count, p, *target) - one_hot(p, label - j, at_label)


@inlined
def _slope_added(total, j, count, *row):
    prob, _, d = _moves_at(j, count, *row)
    return fma(d, prob, total)


@inlined
def _change_added(total, j, count, *row):
    prob, q, d = _moves_at(j, count, *row)
    return fma(q, d + prob, total)


@inlined
def _squared_error_hvp_at(j, count, scale, slope, change, row):
    prob, q, d = _moves_at(j, count, *row)
    return scale * fma(q, d - slope, prob * (q - change))


@kernel
def softmax_grad_hess_rows(raw, labels, distribution, sample_weight, grad, hess, team):
    # raw (N, C), targets -> with M = sum_c t_c, grad = w (M p - t) and hess = max(2 w M p (1 - p), LEAST_HESS), (N, C)
    arguments = (raw, labels, distribution, sample_weight, grad, hess)
    share(team, raw.shape[0], raw.shape[1], _softmax_grad_hess_span, arguments)


@routine(counts_references=True)
def _softmax_grad_hess_span(first, last, raw, labels, distribution, sample_weight, grad, hess):
    n_columns, z, scratch, has_labels = raw.shape[1], pointer(raw), np.empty(raw.shape[1], raw.dtype), labels.size > 0
    for n in range(first, last):
        start, weight, e = n * n_columns, weight_of_row(sample_weight, n), pointer(scratch)
        if left_out(labels, n, weight):
            zero_row(pointer(grad), n, n_columns, True)
            hess[n] = LEAST_HESS
            continue
        top = splat(z, max_row(z, start, n_columns))
        _, total = exp_row(z, start, n_columns, top, None, None, e, 0)
        target = target_of(z, labels, distribution, n, n_columns, raw[0, :0], 0.0)
        label = labels[n] if has_labels else np.int64(-1)
        mass = 1.0 if has_labels else sum_values(z, n_columns, target_added, (z, *target))
        to_probs = splat(z, 1.0 / total)
        by_grad = (e, to_probs, splat(z, weight), splat(z, mass), label, target)
        by_hess = (e, to_probs, splat(z, 2.0 * weight * mass))
        fill_row(pointer(grad), start, n_columns, False, _boosting_grad_at, by_grad)
        fill_row(pointer(hess), start, n_columns, False, _boosting_hess_at, by_hess)


@inlined
def _boosting_grad_at(j, count, e, to_probs, weight, mass, label, target):
    prob = load_masked(e, j, count, 0) * to_probs
    return weight * (fma(mass, prob, one_hot(e, label - j, -1.0)) - target_at(j, count, e, *target))


@inlined
def _boosting_hess_at(j, count, e, to_probs, factor):
    prob = load_masked(e, j, count, 0) * to_probs
    value, least = factor * prob * (splat(e, 1) - prob), splat(e, LEAST_HESS)
    return select(below(value, least), least, value)  # NaN stays
