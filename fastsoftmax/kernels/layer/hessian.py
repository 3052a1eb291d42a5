"""The cross-entropy of a linear model with its gradient and its whole Hessian, in one pass over X.

Shapes: X (N, D), or the (data, indices, indptr) of a CSR matrix, float32 or float64; all else is float64, because the
least eigenvalues of a Hessian are lost in float32. A row counts as x' (E,), E = D + 1, with x'_d = (x_d - mean_d) s_d
and x'_D = bias_scale; weight V (C, E), logits z = V x', targets as in rows/losses.py. With w_n the weight of a row and
M_n = sum_c t_nc the gradient is (w_n (M_n p_n - t_n))^T x', and the Hessian (Boehning 1992)

    H_(c,d)(k,e) = sum_n h_nck x'_nd x'_ne        h_nck = w_n M_n p_nc (delta_ck - p_nk)

Its rows and columns add up to 0 over the classes, so that the blocks of all classes but the first say everything:
hessian ((C - 1) E, (C - 1) E), symmetric, as is each of its blocks. Half of each block of half of the pairs c >= k is
summed, in tiles: the rows x'_n, weighted by h_nck, times the rows x'_n, which lie in a cache.

Threads take reduction groups of rows and sum in workspaces of their own, added up in the order of the groups.
"""

import numpy as np
from numba import types

from fastsoftmax.kernels.board import await_ticket, pass_ticket, team_size
from fastsoftmax.kernels.jit import inlined, inlined_overload, kernel, routine
from fastsoftmax.kernels.layer.dense import ROWS, add_to, logits_block, outer_block
from fastsoftmax.kernels.layer.passes import GROUP
from fastsoftmax.kernels.rows.losses import cross_entropy_rows
from fastsoftmax.kernels.rows.softmax import softmax_rows
from fastsoftmax.kernels.rows.targets import (
    left_out,
    target_added,
    target_of,
    targets_of_rows,
    weight_of_row,
    weights_of,
)
from fastsoftmax.kernels.rows.vecmath import each_vector, sum_values
from fastsoftmax.kernels.simd import lanes, load_masked, pointer, splat, store_masked
from fastsoftmax.kernels.threads import share_each
from fastsoftmax.kernels.views import matrix, on_huge_pages, part

GROUPS = 64  # of rows at the most: each is summed apart, and a sum is as large as the Hessian


@kernel(counts_references=True)
def linear_cross_entropy_hessian_rows(
    X, mean, scale, bias_scale, weight, labels, distribution, sample_weight, smoothing, factor, losses, grad, hessian,
    team,
):  # fmt: skip
    # losses (N,), and of factor * their sum: grad (C, E) and hessian ((C - 1) E, (C - 1) E)
    n_rows, n_classes, n_features = losses.size, weight.shape[0], weight.shape[1]
    size = weight.size + n_classes * (n_classes - 1) // 2 * n_features * n_features
    group_rows = max(GROUP, -(-n_rows // (GROUPS * ROWS)) * ROWS)
    n_groups = -(-n_rows // group_rows)
    workspace, ticket = on_huge_pages(np.empty(min(team_size(team), n_groups) * size)), np.zeros(1, np.int64)
    grad[:] = 0
    hessian[:] = 0
    targets = (labels, distribution, sample_weight, smoothing, factor, losses)
    arguments = (
        team,
        ticket,
        workspace,
        size,
        group_rows,
        X,
        (mean, scale, bias_scale),
        weight,
        targets,
        grad,
        hessian,
    )
    share_each(team, n_groups, _groups, arguments)
    _mirror(hessian, n_features)


@routine(counts_references=True)
def _groups(first, last, team, ticket, workspace, size, group_rows, X, features, weight, targets, grad, hessian):
    n_rows, n_features, n_classes = targets[-1].size, weight.shape[1], weight.shape[0]
    rows, logits = np.empty(2 * ROWS * n_features), np.empty((2 * ROWS + 1) * n_classes)
    logits[2 * ROWS * n_classes :] = 0.0  # what stands for a bias, which is among the features
    for group in range(first, last):
        # a thread has one group at a time, and they end in order: so the one that had this workspace has left it
        sums = part(workspace, group % (workspace.size // size) * size, size)
        end = min(n_rows, (group + 1) * group_rows)
        for start in range(group * group_rows, end, ROWS):
            x = matrix(rows, 0, min(ROWS, end - start), n_features)
            take_features(X, start, targets[0], targets[2], features, x)
            _sum_block(x, start, weight, targets, rows, logits, start > group * group_rows, sums)
        if not await_ticket(team, np.int64(ticket.ctypes.data), group):
            return
        add_to(grad, part(sums, 0, grad.size))
        _add_blocks(sums, grad.size, n_features, hessian)
        pass_ticket(team, np.int64(ticket.ctypes.data), group + 1)


@routine
def _sum_block(x, start, weight, targets, rows, logits, adds, sums):
    # the sums for the rows x from row `start` on, added or put there: of the gradient (C, E), then of the Hessian's
    # blocks (C (C - 1) / 2, E, E), of which tiles on and below the diagonal are summed
    (count, n_features), n_classes = x.shape, weight.shape[0]
    labels, distribution, sample_weight, smoothing, factor, losses = targets
    some, soft = targets_of_rows(labels, distribution, start, count)
    by_row, none, here = weights_of(sample_weight, start, count), part(weight, 0, 0), part(losses, start, count)
    z, probs = matrix(logits, 0, count, n_classes), matrix(logits, ROWS * n_classes, count, n_classes)
    bias = part(logits, 2 * ROWS * n_classes, n_classes)
    logits_block(x, 0, count, weight, bias, 0, n_classes, pointer(z))
    softmax_rows(z, None, probs, 0)
    cross_entropy_rows(z, some, soft, by_row, none, smoothing, factor, here, z, 0)
    place = (pointer(x), 0, n_features)
    cotangent, out = (pointer(z), 0, n_classes), (pointer(sums), 0, n_features)
    outer_block(cotangent, n_classes, place, n_features, count, adds, out, 0)
    by_curvature = part(z, 0, count)  # the gradient is summed, and its place free
    _curvatures(some, soft, by_row, smoothing, factor, probs, by_curvature)
    weighted, block, width = matrix(rows, ROWS * n_features, count, n_features), weight.size, 2 * lanes(x)
    for c in range(1, n_classes):
        for k in range(1, c + 1):
            _weigh(x, probs, by_curvature, c, k, weighted)
            for d in range(0, n_features, width):
                factors = (pointer(weighted), d, n_features)
                strip, some_columns = (pointer(x), d, n_features), min(width, n_features - d)
                out = (pointer(sums), block + d * n_features + d, n_features)
                outer_block(factors, n_features - d, strip, some_columns, count, adds, out, 0)
            block += n_features * n_features


@inlined
def _curvatures(labels, distribution, sample_weight, smoothing, factor, probs, out):
    # factor * w_n M_n, where the label of a row has the share 1
    n_classes, p, none = probs.shape[1], pointer(probs), part(out, 0, 0)
    for n in range(probs.shape[0]):
        weight, mass = weight_of_row(sample_weight, n), 1.0
        if labels.size == 0:
            target = target_of(p, labels, distribution, n, n_classes, none, smoothing)
            mass = sum_values(p, n_classes, target_added, (p, *target))
        out[n] = 0.0 if left_out(labels, n, weight) else factor * weight * mass


@inlined
def _weigh(x, probs, by_curvature, c, k, out):
    # out_n = h_nck x'_n
    n_features, n_classes, source, p = x.shape[1], probs.shape[1], pointer(x), pointer(probs)
    for n in range(x.shape[0]):
        ours, other = p[n * n_classes + c], -p[n * n_classes + k]
        if c == k:
            other = 1.0 + other
            if ours > 0.5:  # the others', which have more digits
                other = 0.0
                for j in range(n_classes):
                    other += p[n * n_classes + j] if j != c else 0.0
        start, factor = n * n_features, splat(x, by_curvature[n] * ours * other)
        each_vector(x, start, start + n_features, _multiply, (factor, source, pointer(out)))


@inlined
def _multiply(j, some, factor, source, out):
    store_masked(factor * load_masked(source, j, some, 0), out, j, some)


@inlined
def _add_blocks(sums, place, n_features, hessian):
    # the lower triangle of each block, added where it belongs
    n_others, source, target = hessian.shape[0] // n_features, pointer(sums), pointer(hessian)
    for c in range(n_others):
        for k in range(c + 1):
            for d in range(n_features):
                here, to = place + d * n_features, (c * n_features + d) * hessian.shape[0] + k * n_features
                each_vector(hessian, 0, d + 1, _add, (source, here, target, to))
            place += n_features * n_features


@inlined
def _add(e, some, source, here, target, to):
    value = load_masked(target, to + e, some, 0) + load_masked(source, here + e, some, 0)
    store_masked(value, target, to + e, some)


@routine
def _mirror(hessian, n_features):
    # what lies above the diagonal of a block, and of the whole
    h, n = pointer(hessian), hessian.shape[0]
    for c in range(0, n, n_features):
        for k in range(0, c + 1, n_features):
            for d in range(n_features):
                for e in range(d + 1):
                    value = h[(c + d) * n + k + e]
                    h[(c + e) * n + k + d] = value
                    h[(k + d) * n + c + e] = value
                    h[(k + e) * n + c + d] = value


def take_features(X, start, labels, sample_weight, features, out):
    """The x' of rows from `start` on, into out; zeros for rows that are left out, whatever stands in X there."""
    way = _take_csr if isinstance(X, tuple) else _take_dense
    way(X, start, labels, sample_weight, features, out)


@inlined_overload(take_features)
def _take_features_jitted(X, start, labels, sample_weight, features, out):
    if isinstance(X, types.BaseTuple):
        return lambda X, start, labels, sample_weight, features, out: _take_csr(
            X, start, labels, sample_weight, features, out
        )
    return lambda X, start, labels, sample_weight, features, out: _take_dense(
        X, start, labels, sample_weight, features, out
    )


@routine
def _take_dense(X, start, labels, sample_weight, features, out):
    mean, scale, bias_scale = features
    x, to, m, s, width = pointer(X), pointer(out), pointer(mean), pointer(scale), out.shape[1]
    for n in range(out.shape[0]):
        here, source = n * width, (start + n) * (width - 1)
        if left_out(labels, start + n, weight_of_row(sample_weight, start + n)):
            for d in range(width):
                to[here + d] = 0.0
            continue
        for d in range(width - 1):
            to[here + d] = (np.float64(x[source + d]) - m[d]) * s[d]
        to[here + width - 1] = bias_scale


@routine
def _take_csr(X, start, labels, sample_weight, features, out):
    (data, indices, indptr), (mean, scale, bias_scale) = X, features
    x, to, m, s, width = pointer(data), pointer(out), pointer(mean), pointer(scale), out.shape[1]
    for n in range(out.shape[0]):
        here, counts = n * width, not left_out(labels, start + n, weight_of_row(sample_weight, start + n))
        for d in range(width - 1):
            to[here + d] = -m[d] * s[d] if counts else 0.0
        to[here + width - 1] = bias_scale if counts else 0.0
        if counts:
            for i in range(indptr[start + n], indptr[start + n + 1]):
                d = np.int64(indices[i])
                to[here + d] = (np.float64(x[i]) - m[d]) * s[d]
