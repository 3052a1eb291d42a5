"""Sweeps of coordinate descent over the quadratic model of a multinomial loss, with L1 and L2 (training/proximal.py).

Shapes: logits and all that is of their kind (C, N), a class one after another; X by features, columns (D, N), or the
(data, indices, indptr) of a CSC matrix. Coordinate k is the weight of feature features_k and class classes_k. With
probabilities p, weights of rows a, and the logits' change v, the model is

    g^T dw + 1/2 sum_n a_n (sum_c p_cn v_cn^2 - m_n^2)        m_n = sum_c p_cn v_cn        v_cn = sum_d dw_cd x_dn

so that along (d, c) its slope is g_cd + sum_n x_dn a_n p_cn (v_cn - m_n), and its curvature the sum of
x_dn^2 a_n p_cn (1 - p_cn).
Each coordinate goes to its minimum with the others held (Friedman, Hastie & Tibshirani 2010, section 2.4, with the
Hessian's mixed entries of classes). In order, on one thread; everything is float64, but the data of a CSC matrix.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.simd import fma, lanes, load_masked, pointer, splat, store_masked, sum_of


@kernel
def curvatures(columns, features, classes, weighted, probs, out):
    # out_k = sum_n x_dn^2 a_n p_cn (1 - p_cn); weighted: a p
    n_rows, width = probs.shape[1], lanes(probs)
    x, ap, p, one = pointer(columns), pointer(weighted), pointer(probs), splat(probs, 1.0)
    for k in range(features.shape[0]):
        row, start, total = features[k] * n_rows, classes[k] * n_rows, splat(probs, 0.0)
        for n in range(0, n_rows, width):
            some = min(width, n_rows - n)
            value = load_masked(x, row + n, some, 0)
            slope = load_masked(ap, start + n, some, 0) * (one - load_masked(p, start + n, some, 0))
            total = fma(value * value, slope, total)
        out[k] = sum_of(total)


@kernel
def csc_curvatures(columns, features, classes, weighted, probs, out):
    # the same
    data, indices, indptr = columns
    n_rows, ap, p = probs.shape[1], pointer(weighted), pointer(probs)
    for k in range(features.shape[0]):
        start, total = classes[k] * n_rows, 0.0
        for i in range(indptr[features[k]], indptr[features[k] + 1]):
            value, at = np.float64(data[i]), start + np.int64(indices[i])
            total = fma(value * value, ap[at] * (1.0 - p[at]), total)
        out[k] = total


@kernel
def sweep(columns, features, classes, weighted, probs, model, penalty, changes, mean_change):
    # every coordinate once: weights, the logits' changes v (C, N) and their mean m (N,) move. model: weights, slopes g
    # where it begins, curvatures; penalty: l1, l2. -> the largest step times its curvature, as a violation of a slope
    weights, slopes, curvature = model
    n_rows, width, worst = probs.shape[1], lanes(probs), 0.0
    x, ap, p, v, m = pointer(columns), pointer(weighted), pointer(probs), pointer(changes), pointer(mean_change)
    for k in range(features.shape[0]):
        row, start, total = features[k] * n_rows, classes[k] * n_rows, splat(probs, 0.0)
        for n in range(0, n_rows, width):
            some = min(width, n_rows - n)
            distance = load_masked(v, start + n, some, 0) - load_masked(m, n, some, 0)
            slope = load_masked(ap, start + n, some, 0) * distance
            total = fma(load_masked(x, row + n, some, 0), slope, total)
        step = _step(weights[k], slopes[k] + sum_of(total), curvature[k], penalty[0][k], penalty[1][k])
        if step != 0.0:
            weights[k], worst = weights[k] + step, max(worst, abs(step) * (curvature[k] + penalty[1][k]))
            by = splat(probs, step)
            for n in range(0, n_rows, width):
                some = min(width, n_rows - n)
                change = by * load_masked(x, row + n, some, 0)
                store_masked(load_masked(v, start + n, some, 0) + change, v, start + n, some)
                mean = fma(load_masked(p, start + n, some, 0), change, load_masked(m, n, some, 0))
                store_masked(mean, m, n, some)
    return worst


@kernel
def csc_sweep(columns, features, classes, weighted, probs, model, penalty, changes, mean_change):
    # the same
    weights, slopes, curvature = model
    data, indices, indptr = columns
    n_rows, worst = probs.shape[1], 0.0
    ap, p, v, m = pointer(weighted), pointer(probs), pointer(changes), pointer(mean_change)
    for k in range(features.shape[0]):
        start, total = classes[k] * n_rows, 0.0
        begin, end = indptr[features[k]], indptr[features[k] + 1]
        for i in range(begin, end):
            n = np.int64(indices[i])
            total = fma(np.float64(data[i]), ap[start + n] * (v[start + n] - m[n]), total)
        step = _step(weights[k], slopes[k] + total, curvature[k], penalty[0][k], penalty[1][k])
        if step != 0.0:
            weights[k], worst = weights[k] + step, max(worst, abs(step) * (curvature[k] + penalty[1][k]))
            for i in range(begin, end):
                n, change = np.int64(indices[i]), step * np.float64(data[i])
                v[start + n] += change
                m[n] = fma(p[start + n], change, m[n])
    return worst


@inlined
def _step(weight, slope, curvature, l1, l2):
    # to the minimum of slope d + curvature d^2 / 2 + l1 |w + d| + l2 (w + d)^2 / 2, by soft thresholding
    size = curvature + l2
    if not size > 0.0:
        return 0.0
    target = weight * curvature - slope
    if abs(target) <= l1:
        return -weight
    return (target - l1 if target > 0.0 else target + l1) / size - weight
