"""The parameters of a linear model in other coordinates u, in which features are standardised, and how features are
spread, which tells the coordinates (fastsoftmax/training/coordinates.py).

params = (W (C, D), b (C,)) and u = (U, u_b), computed in float64:

    W_cd = U_cd scale_d        b_c = bias_scale u_b_c - sum_d W_cd mean_d        mean (D,), or empty for zeros

A feature of scale 0 is left out: its U is 0, and so is its W.

Sums over rows go by blocks of BLOCK rows, one row of `sums` each, so that threads do not change a bit.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.simd import pointer
from fastsoftmax.kernels.threads import share_each

BLOCK = 1024


@kernel
def params_of(u, scale, mean, bias_scale, params, team):
    # the params at u, which is a linear map: so it takes a direction in u to the one in the params, too
    n_classes = u.shape[0] // (scale.shape[0] + 1)
    share_each(team, n_classes, _params_span, (u, scale, mean, bias_scale, params))


@routine
def _params_span(first, last, u, scale, mean, bias_scale, params):
    n_features = scale.shape[0]
    n_classes = u.shape[0] // (n_features + 1)
    from_u, to, factor, offset = pointer(u), pointer(params), pointer(scale), pointer(mean)
    for c in range(first, last):
        start, at, shift = c * n_features, n_classes * n_features + c, 0.0
        for d in range(n_features):
            to[start + d] = from_u[start + d] * factor[d]
        if mean.shape[0] > 0:
            shift = _shift(from_u, start, factor, offset, n_features)
        to[at] = bias_scale * from_u[at] - shift


@inlined
def _shift(u, start, scale, mean, n_features):
    # sum_d u_d scale_d mean_d, in four sums that need not wait for one another
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    full = n_features - n_features % 4
    for k in range(0, full, 4):
        a += u[start + k] * scale[k] * mean[k]
        b += u[start + k + 1] * scale[k + 1] * mean[k + 1]
        c += u[start + k + 2] * scale[k + 2] * mean[k + 2]
        d += u[start + k + 3] * scale[k + 3] * mean[k + 3]
    for k in range(full, n_features):
        a += u[start + k] * scale[k] * mean[k]
    return (a + b) + (c + d)


@kernel
def coordinates_of(params, scale, mean, bias_scale, u):
    # the u of params
    n_features = scale.shape[0]
    n_classes = u.shape[0] // (n_features + 1)
    for c in range(n_classes):
        start, at, shift = c * n_features, n_classes * n_features + c, 0.0
        for d in range(n_features):
            weight = np.float64(params[start + d])
            u[start + d] = weight / scale[d] if scale[d] > 0.0 else 0.0
            if mean.shape[0] > 0:
                shift += weight * mean[d]
        u[at] = (params[at] + shift) / bias_scale


@kernel
def coordinates_grad_of(grad, scale, mean, bias_scale, out, team):
    # dF/du of dF/dparams; out may be grad
    n_classes = grad.shape[0] // (scale.shape[0] + 1)
    share_each(team, n_classes, _grad_span, (grad, scale, mean, bias_scale, out))


@routine
def _grad_span(first, last, grad, scale, mean, bias_scale, out):
    n_features = scale.shape[0]
    n_classes = grad.shape[0] // (n_features + 1)
    g, to, factor, offset = pointer(grad), pointer(out), pointer(scale), pointer(mean)
    for c in range(first, last):
        start, at = c * n_features, n_classes * n_features + c
        bias = np.float64(g[at])
        to[at] = bias * bias_scale
        if mean.shape[0] > 0:
            for d in range(n_features):
                to[start + d] = (np.float64(g[start + d]) - bias * offset[d]) * factor[d]
        else:
            for d in range(n_features):
                to[start + d] = np.float64(g[start + d]) * factor[d]


@kernel
def feature_sums(X, weight, sums, least, most, team):
    # X (N, D), weight (N,) -> for each block of rows and each feature sum_n w_n x_nd, and the least and the largest
    # x_nd of the rows with w_n > 0; sums, least, most (blocks, D)
    share_each(team, sums.shape[0], _feature_sums_span, (X, weight, sums, least, most))


@kernel
def _feature_sums_span(first, last, X, weight, sums, least, most):
    n_features = X.shape[1]
    x, total, low, high = pointer(X), pointer(sums), pointer(least), pointer(most)
    for block in range(first, last):
        at = block * n_features
        for d in range(at, at + n_features):
            total[d], low[d], high[d] = 0.0, np.inf, -np.inf
        for n in range(block * BLOCK, min((block + 1) * BLOCK, X.shape[0])):
            w, row = weight[n], n * n_features
            if w > 0.0:
                for d in range(n_features):
                    value = np.float64(x[row + d])
                    total[at + d] += w * value
                    low[at + d] = value if value < low[at + d] else low[at + d]
                    high[at + d] = value if value > high[at + d] else high[at + d]


@kernel
def feature_squares(X, weight, mean, scale, sums, team):
    # -> for each block and feature sum_n w_n ((x_nd - mean_d) scale_d)^2
    share_each(team, sums.shape[0], _feature_squares_span, (X, weight, mean, scale, sums))


@kernel
def _feature_squares_span(first, last, X, weight, mean, scale, sums):
    n_features = X.shape[1]
    x, total, offset, factor = pointer(X), pointer(sums), pointer(mean), pointer(scale)
    for block in range(first, last):
        at = block * n_features
        for d in range(at, at + n_features):
            total[d] = 0.0
        for n in range(block * BLOCK, min((block + 1) * BLOCK, X.shape[0])):
            w, row = weight[n], n * n_features
            if w > 0.0:
                for d in range(n_features):
                    distance = (np.float64(x[row + d]) - offset[d]) * factor[d]
                    total[at + d] += w * (distance * distance)


@kernel
def csr_feature_sums(X, weight, sums, least, most, present):
    # the same for a CSR matrix, in one block, of the numbers that it holds; and how many each feature has
    data, indices, indptr = X
    sums[:], least[:], most[:], present[:] = 0.0, np.inf, -np.inf, 0
    for n in range(indptr.shape[0] - 1):
        w = weight[n]
        if w > 0.0:
            for k in range(indptr[n], indptr[n + 1]):
                d, value = np.int64(indices[k]), np.float64(data[k])
                sums[d] += w * value
                least[d], most[d] = min(least[d], value), max(most[d], value)
                present[d] += 1


@kernel
def csr_feature_squares(X, weight, mean, scale, sums, held):
    # -> sum_n w_n ((x_nd - mean_d) scale_d)^2 over the numbers that a CSR matrix holds, and the sum of their w_n
    data, indices, indptr = X
    sums[:], held[:] = 0.0, 0.0
    for n in range(indptr.shape[0] - 1):
        w = weight[n]
        if w > 0.0:
            for k in range(indptr[n], indptr[n + 1]):
                d = np.int64(indices[k])
                distance = (np.float64(data[k]) - mean[d]) * scale[d]
                sums[d] += w * (distance * distance)
                held[d] += w
