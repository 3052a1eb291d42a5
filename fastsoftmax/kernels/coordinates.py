"""The parameters of a linear model in other coordinates u, in which features are standardised (training.py).

params = (W (C, D), b (C,)) in the dtype of the data, u = (U, u_b) and all else in float64:

    W_cd = U_cd scale_d        b_c = bias_scale u_b_c - sum_d W_cd mean_d        mean (D,), or empty for zeros
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel
from fastsoftmax.kernels.simd import pointer


@kernel
def params_of(u, scale, mean, bias_scale, params):
    # the params at u
    n_features = scale.shape[0]
    n_classes = u.shape[0] // (n_features + 1)
    from_u, to, factor, offset = pointer(u), pointer(params), pointer(scale), pointer(mean)
    for c in range(n_classes):
        start, shift = c * n_features, 0.0
        for d in range(n_features):
            to[start + d] = from_u[start + d] * factor[d]
        if mean.shape[0] > 0:
            for d in range(n_features):
                shift += from_u[start + d] * factor[d] * offset[d]
        at = n_classes * n_features + c
        to[at] = bias_scale * from_u[at] - shift


@kernel
def coordinates_of(params, scale, mean, bias_scale, u):
    # the u of params
    n_features = scale.shape[0]
    n_classes = u.shape[0] // (n_features + 1)
    for c in range(n_classes):
        start, at, shift = c * n_features, n_classes * n_features + c, 0.0
        for d in range(n_features):
            weight = np.float64(params[start + d])
            u[start + d] = weight / scale[d]
            if mean.shape[0] > 0:
                shift += weight * mean[d]
        u[at] = (params[at] + shift) / bias_scale


@kernel
def coordinates_grad_of(grad, scale, mean, bias_scale, out):
    # dF/du of dF/dparams
    n_features = scale.shape[0]
    n_classes = out.shape[0] // (n_features + 1)
    g, to, factor, offset = pointer(grad), pointer(out), pointer(scale), pointer(mean)
    for c in range(n_classes):
        start, at = c * n_features, n_classes * n_features + c
        bias = np.float64(g[at])
        to[at] = bias * bias_scale
        if mean.shape[0] > 0:
            for d in range(n_features):
                to[start + d] = (np.float64(g[start + d]) - bias * offset[d]) * factor[d]
        else:
            for d in range(n_features):
                to[start + d] = np.float64(g[start + d]) * factor[d]
