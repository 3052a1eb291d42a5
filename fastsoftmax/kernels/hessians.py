"""The Hessian of a row's loss in its logits, times a vector: no matrix is built, as for the Jacobian of softmax.

Shapes, targets and weights as in losses.py: probs p and tangent v (N, C) -> out (N, C), which may be tangent itself.
The product of a row is multiplied by its weight and by scale.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, step
from fastsoftmax.kernels.losses import (
    left_out,
    target_at,
    target_of,
    weight_of_class,
    weight_of_row,
    weight_of_target,
    zero_row,
)
from fastsoftmax.kernels.simd import load_some, one_hot, pointer, splat
from fastsoftmax.kernels.vecmath import dot_row, fill_row, sum_values


@kernel
def cross_entropy_hvp_rows(probs, tangent, targets, sample_weight, class_weight, smoothing, scale, out):
    # dloss/dz = M p - t with M = sum_c t_c, so H_z v = M J v = M p (v - <p, v>)
    n_columns, p, v = probs.shape[1], pointer(probs), pointer(tangent)
    for n in range(probs.shape[0]):
        start, weight = n * n_columns, weight_of_row(sample_weight, n)
        if left_out(targets, n, weight):
            zero_row(out, n)
            continue
        mass = 0.0
        if targets.ndim == 2 or smoothing != 0.0:
            target = target_of(p, targets, n, n_columns, class_weight, smoothing)
            mass = sum_values(p, n_columns, target_at, (p, *target))
        if targets.ndim == 1:
            mass += (1.0 - smoothing) * weight_of_class(class_weight, targets[n])
        inner = splat(p, dot_row(p, start, v, start, n_columns))
        factor = splat(p, scale * weight * mass)
        fill_row(pointer(out), start, n_columns, False, _scaled_jvp_at, (p, v, start, inner, factor))


@step
def _scaled_jvp_at(j, count, p, v, start, inner, factor):
    return factor * load_some(p, start + j, count, 0) * (load_some(v, start + j, count, 0) - inner)


@kernel
def squared_error_hvp_rows(probs, tangent, targets, sample_weight, class_weight, smoothing, scale, out):
    # dloss/dz = 2 p (d - <d, p>) with d = p - t; along v, p moves by q = J v = p (v - <p, v>), and
    # H_z v = 2 q (d - <d, p>) + 2 p (q - <q, d + p>)
    n_columns, p, v = probs.shape[1], pointer(probs), pointer(tangent)
    for n in range(probs.shape[0]):
        start, weight = n * n_columns, weight_of_row(sample_weight, n)
        if not left_out(targets, n, weight):
            weight *= weight_of_target(targets, n, class_weight)
        if left_out(targets, n, weight):
            zero_row(out, n)
            continue
        target = target_of(p, targets, n, n_columns, class_weight[:0], smoothing)
        label = np.intp(targets[n]) if targets.ndim == 1 else -1
        row = (p, v, start, splat(p, dot_row(p, start, v, start, n_columns)), label, 1.0 - smoothing, target)
        slope = splat(p, sum_values(p, n_columns, _slope_at, row))
        turn = splat(p, sum_values(p, n_columns, _turn_at, row))
        arguments = (splat(p, 2.0 * scale * weight), slope, turn, row)
        fill_row(pointer(out), start, n_columns, False, _squared_error_hvp_at, arguments)


@step
def _moves_at(j, count, p, v, start, inner, label, share, target):
    # p_j, q_j and d_j
    prob = load_some(p, start + j, count, 0)
    q = prob * (load_some(v, start + j, count, 0) - inner)
    return prob, q, prob - target_at(j, count, p, *target) - one_hot(p, label - j, share)


@step
def _slope_at(j, count, *row):
    prob, _, d = _moves_at(j, count, *row)
    return d * prob


@step
def _turn_at(j, count, *row):
    prob, q, d = _moves_at(j, count, *row)
    return q * (d + prob)


@step
def _squared_error_hvp_at(j, count, scale, slope, turn, row):
    prob, q, d = _moves_at(j, count, *row)
    return scale * (q * (d - slope) + prob * (q - turn))
