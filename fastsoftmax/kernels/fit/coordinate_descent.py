"""Sweeps of coordinate descent over the quadratic model of a multinomial loss, with L1 and L2 (training/proximal.py).

Shapes: logits and all that is of their kind (C, N), a class one after another; X by features, columns (D, N), or the
(data, indices, indptr) of a CSC matrix. Coordinate k is the weight of feature features_k and class classes_k. With
probabilities p, weights of rows a, and the logits' change v, the model is

    g^T dw + 1/2 sum_n a_n (sum_c p_cn v_cn^2 - m_n^2)        m_n = sum_c p_cn v_cn        v_cn = sum_d dw_cd x_dn

so that along (d, c) its slope is g_cd + sum_n x_dn a_n p_cn (v_cn - m_n), and its curvature the sum of
x_dn^2 a_n p_cn (1 - p_cn). Each coordinate goes to its minimum between two limits with the others held (Friedman,
Hastie & Tibshirani 2010, section 2.4, with the Hessian's mixed entries of classes). In order, on one thread;
everything is float64, but the data of a CSC matrix.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel
from fastsoftmax.kernels.rows.vecmath import each_vector, sum_lanes
from fastsoftmax.kernels.simd import fma, load_masked, pointer, splat, store_masked, sum_of


@kernel
def column_sums(columns, features, classes, cotangent, out):
    # out_k = sum_n x_dn r_cn, cotangent r (C, N): the gradient of a loss whose dL/dlogits it is
    n_rows, x, r = cotangent.shape[1], pointer(columns), pointer(cotangent)
    for k in range(features.shape[0]):
        where = (x, features[k] * n_rows, r, classes[k] * n_rows)
        out[k] = sum_of(sum_lanes(cotangent, 0, n_rows, _plus_product, where))


@inlined
def _plus_product(total, n, some, x, row, r, start):
    return fma(load_masked(x, row + n, some, 0), load_masked(r, start + n, some, 0), total)


@kernel
def csc_column_sums(columns, features, classes, cotangent, out):
    # the same
    data, indices, indptr = columns
    n_rows, r = cotangent.shape[1], pointer(cotangent)
    for k in range(features.shape[0]):
        start, total = classes[k] * n_rows, 0.0
        for i in range(indptr[features[k]], indptr[features[k] + 1]):
            total = fma(np.float64(data[i]), r[start + np.int64(indices[i])], total)
        out[k] = total


@kernel
def column_squares(columns, features, classes, cotangent, out):
    # out_k = sum_n x_dn^2 r_cn: with r = a p (1 - p) the curvatures
    n_rows, x, r = cotangent.shape[1], pointer(columns), pointer(cotangent)
    for k in range(features.shape[0]):
        where = (x, features[k] * n_rows, r, classes[k] * n_rows)
        out[k] = sum_of(sum_lanes(cotangent, 0, n_rows, _plus_square, where))


@inlined
def _plus_square(total, n, some, x, row, r, start):
    value = load_masked(x, row + n, some, 0)
    return fma(value * value, load_masked(r, start + n, some, 0), total)


@kernel
def csc_column_squares(columns, features, classes, cotangent, out):
    # the same
    data, indices, indptr = columns
    n_rows, r = cotangent.shape[1], pointer(cotangent)
    for k in range(features.shape[0]):
        start, total = classes[k] * n_rows, 0.0
        for i in range(indptr[features[k]], indptr[features[k] + 1]):
            value = np.float64(data[i])
            total = fma(value * value, r[start + np.int64(indices[i])], total)
        out[k] = total


@kernel
def add_columns(columns, features, classes, steps, changes):
    # v_cn += step_k x_dn for each coordinate
    n_rows, x, v = changes.shape[1], pointer(columns), pointer(changes)
    for k in range(features.shape[0]):
        if steps[k] != 0.0:
            where = (splat(changes, steps[k]), x, features[k] * n_rows, v, classes[k] * n_rows)
            each_vector(changes, 0, n_rows, _add_multiple, where)


@inlined
def _add_multiple(n, some, by, x, row, v, start):
    value = fma(by, load_masked(x, row + n, some, 0), load_masked(v, start + n, some, 0))
    store_masked(value, v, start + n, some)


@kernel
def csc_add_columns(columns, features, classes, steps, changes):
    # the same
    data, indices, indptr = columns
    n_rows, v = changes.shape[1], pointer(changes)
    for k in range(features.shape[0]):
        start, step = classes[k] * n_rows, steps[k]
        if step != 0.0:
            for i in range(indptr[features[k]], indptr[features[k] + 1]):
                n = start + np.int64(indices[i])
                v[n] = fma(step, np.float64(data[i]), v[n])


@kernel
def sweep(columns, features, classes, weighted, probs, changes, mean_change, model, first):
    # every coordinate once: weights, the logits' changes v (C, N) and their mean m (N,) move. weighted: a p (C, N);
    # model (7, n): weights, slopes g where it begins, curvatures, l1, l2, and the least and the largest weights, of
    # which the column `first` is that of the first coordinate here. -> the largest violation that a step has mended
    n_rows, worst = probs.shape[1], 0.0
    x, ap, p, v, m = pointer(columns), pointer(weighted), pointer(probs), pointer(changes), pointer(mean_change)
    for k in range(features.shape[0]):
        row, start = features[k] * n_rows, classes[k] * n_rows
        slope = sum_of(sum_lanes(probs, 0, n_rows, _plus_slope, (x, row, ap, v, start, m)))
        step = _step(first + k, slope, model)
        if step != 0.0:
            worst = max(worst, abs(step) * (model[2, first + k] + model[4, first + k]))
            each_vector(probs, 0, n_rows, _move, (splat(probs, step), x, row, p, v, start, m))
    return worst


@inlined
def _plus_slope(total, n, some, x, row, ap, v, start, m):
    distance = load_masked(v, start + n, some, 0) - load_masked(m, n, some, 0)
    return fma(load_masked(x, row + n, some, 0), load_masked(ap, start + n, some, 0) * distance, total)


@inlined
def _move(n, some, step, x, row, p, v, start, m):
    change = step * load_masked(x, row + n, some, 0)
    store_masked(load_masked(v, start + n, some, 0) + change, v, start + n, some)
    store_masked(fma(load_masked(p, start + n, some, 0), change, load_masked(m, n, some, 0)), m, n, some)


@kernel
def csc_sweep(columns, features, classes, by_class, by_row, model, first):
    # the same. What is needed together lies together, as numbers are gathered (N 11314, C 20: 5 ms, not 14):
    # by_class (C, N, 2) has p and v, by_row (N, 2) a and m
    data, indices, indptr = columns
    n_rows, worst = by_row.shape[0], 0.0
    pv, am = pointer(by_class), pointer(by_row)
    for k in range(features.shape[0]):
        start, total = 2 * classes[k] * n_rows, 0.0
        begin, end = indptr[features[k]], indptr[features[k] + 1]
        for i in range(begin, end):
            n = 2 * np.int64(indices[i])
            weighted = am[n] * pv[start + n]
            total = fma(np.float64(data[i]), weighted * (pv[start + n + 1] - am[n + 1]), total)
        step = _step(first + k, total, model)
        if step != 0.0:
            worst = max(worst, abs(step) * (model[2, first + k] + model[4, first + k]))
            for i in range(begin, end):
                n, change = 2 * np.int64(indices[i]), step * np.float64(data[i])
                pv[start + n + 1] += change
                am[n + 1] = fma(pv[start + n], change, am[n + 1])
    return worst


@kernel
def hessian_sweep(hessian, places, changes, model):
    # every coordinate once, where the Hessian H (n, n), float32, has been built (layer/column_hessian.py): coordinate k
    # is its row and column places_k, of at most n. model as in `sweep`; what moves with the weights: changes H d (n,),
    # float32, by which slopes differ from those in the model. -> the largest violation that a step has mended
    size, worst = changes.shape[0], 0.0
    h, v = pointer(hessian), pointer(changes)
    for k in range(places.shape[0]):
        place = places[k]
        step = _step(k, np.float64(v[place]), model)
        if step != 0.0:
            worst = max(worst, abs(step) * (model[2, k] + model[4, k]))
            each_vector(changes, 0, size, _add_multiple, (splat(changes, step), h, place * size, v, 0))
    return worst


@kernel
def memory_sweep(rows, images, scale, features, class_mean, start, sums, by_feature, model):
    # every coordinate once, where the Hessian B (n, n) is that of a memory of m pairs: model as in `sweep`, and a slope
    #
    #     g_k + (B d)_k        d = w - start        B = scale (I - class_mean J) - Q R Q^T
    #
    # with J_jk = 1 where j and k have one feature, else 0. rows Q and images Q R (n, 2 m); features (n,). What moves
    # with the weights: sums R Q^T d (2 m,), and by_feature, the sums of d over the coordinates of each feature.
    # -> the largest violation that a step has mended
    n_columns, worst = rows.shape[1], 0.0
    q, r, v = pointer(rows), pointer(images), pointer(sums)
    for k in range(rows.shape[0]):
        row = k * n_columns
        known = sum_of(sum_lanes(sums, 0, n_columns, _plus_product, (q, row, v, 0)))
        apart = fma(-class_mean, by_feature[features[k]], model[0, k] - start[k])
        step = _step(k, fma(scale, apart, -known), model)
        if step != 0.0:
            worst = max(worst, abs(step) * (model[2, k] + model[4, k]))
            by_feature[features[k]] += step
            each_vector(sums, 0, n_columns, _add_multiple, (splat(sums, step), r, row, v, 0))
    return worst


@inlined
def _step(k, change, model):
    # to the minimum of slope d + curvature d^2 / 2 + l1 |w + d| + l2 (w + d)^2 / 2, by soft thresholding
    weight, slope, curvature, l1, l2 = model[0, k], model[1, k] + change, model[2, k], model[3, k], model[4, k]
    size, target, new = curvature + l2, weight * curvature - slope, weight
    if size > 0.0:
        new = 0.0 if abs(target) <= l1 else (target - l1 if target > 0.0 else target + l1) / size
    elif abs(slope) > l1:
        new = -np.inf if slope > 0.0 else np.inf
    elif l1 > 0.0:
        new = 0.0
    new = min(max(new, model[5, k]), model[6, k])
    model[0, k] = new
    return new - weight
