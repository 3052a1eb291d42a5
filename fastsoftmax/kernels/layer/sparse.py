"""Products with a CSR matrix X (N, D) = (data, indices, indptr): row n has the numbers data_k in the columns indices_k,
indptr_n <= k < indptr_(n + 1), in rising order.

weight (C, D) is transposed to (D, C), so that one number of X meets C neighbours. Only the gradient becomes dense.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.simd import (
    fma,
    lanes,
    load_masked,
    pointer,
    prefetch,
    splat,
    stack_square,
    store_masked,
    transpose,
)

AHEAD = 32  # numbers of X whose weights are fetched ahead
FETCHED = 32  # vectors of a row of weight at once: of some hundred numbers they fit into a core's cache
SAMPLED = 16  # one number in so many tells how X is spread over the features


@kernel
def range_and_order(indices, indptr):
    # the least and the largest of indices, and whether each is above the one before it in its row; loops that vectorise
    # (0.3 ms for 1.7 million, 1.5 with a look at each row)
    x, first, last = pointer(indices), indptr[0], indptr[indptr.shape[0] - 1]
    low, high, falls = x[first], x[first], 0
    for k in range(first, last):
        low, high = min(low, x[k]), max(high, x[k])
    for k in range(first + 1, last):
        falls += 1 if x[k] <= x[k - 1] else 0
    for n in range(1, indptr.shape[0] - 1):
        k = indptr[n]
        if first < k < last and k < indptr[n + 1] and x[k] <= x[k - 1]:
            falls -= 1
    return low, high, falls == 0


@routine
def transpose_weight(first, last, weight, transposed, start):
    # transposed_(start + d C + c) = weight_cd for features first .. last
    width, (n_classes, n_features) = lanes(weight), weight.shape
    for d in range(first, last, width):
        for c in range(0, n_classes, width):
            rows, columns = min(width, n_classes - c), min(width, last - d)
            target = start + d * n_classes + c
            transpose(
                pointer(weight), c * n_features + d, n_features, rows, columns, pointer(transposed), target, n_classes
            )


@routine
def add_transposed(first, last, sums, out):
    # out_cd += sums_(d C + c) for features first .. last
    width, (n_classes, n_features) = lanes(out), out.shape
    tile = stack_square(out)
    for d in range(first, last, width):
        for c in range(0, n_classes, width):
            rows, columns = min(width, last - d), min(width, n_classes - c)
            transpose(pointer(sums), d * n_classes + c, n_classes, rows, columns, tile, 0, width)
            for j in range(columns):
                here = (c + j) * n_features + d
                value = load_masked(pointer(out), here, rows, 0) + load_masked(tile, j * width, rows, 0)
                store_masked(value, pointer(out), here, rows)


@routine
def csr_logits(first, last, X, start, transposed, place, bias, z):
    # z_nc = sum_k data_k W_(c, indices_k) + b_c for rows start + first .. start + last of X; z begins at row `start`.
    # transposed: weight from `place` on
    data, indices, indptr = X
    w, width, n_classes = pointer(transposed), lanes(transposed), z.shape[1]
    end = indptr[indptr.shape[0] - 1] - 1
    for n in range(first, last):
        for c in range(0, n_classes, 2 * width):
            low, high = min(width, n_classes - c), max(0, min(width, n_classes - c - width))
            a, b, reach = splat(transposed, 0), splat(transposed, 0), _reach(w, c, n_classes)
            for k in range(indptr[start + n], indptr[start + n + 1]):
                _fetch(w, place + np.int64(indices[min(k + AHEAD, end)]) * n_classes + c, low + high, reach)
                here, x = place + np.int64(indices[k]) * n_classes + c, splat(transposed, data[k])
                a = fma(x, load_masked(w, here, low, 0), a)
                b = fma(x, load_masked(w, here + width, high, 0), b)
            out = pointer(z)
            store_masked(a + load_masked(pointer(bias), c, low, 0), out, n * n_classes + c, low)
            store_masked(b + load_masked(pointer(bias), c + width, high, 0), out, n * n_classes + c + width, high)


@inlined
def _reach(x, c, n_classes):
    # of a row of weights whose classes from c on are at hand: how many are fetched at once, so that no later one waits
    # (C = 20, float64: half as long again without); 0 where the row lies in two lines of the cache, or has been fetched
    width = lanes(x)
    is_narrow, is_fetched = 2 * n_classes <= 3 * width, c % (FETCHED * width) > 0
    return 0 if is_narrow or is_fetched else min(n_classes - c, FETCHED * width)


@inlined
def _fetch(x, start, count, reach):
    # the lines of `count` numbers, two at the most, and of `reach`
    width = lanes(x)
    prefetch(x, start)
    prefetch(x, start + count - 1)
    for line in range(width, reach + width, width):
        prefetch(x, start + line)


@routine(counts_references=True)
def sample_features(X, n_features):
    # -> how often each feature is met in one number of X in SAMPLED
    indices, counts = X[1], np.zeros(n_features, np.int32)
    for k in range(0, indices.shape[0], SAMPLED):
        counts[indices[k]] += 1
    return counts


@routine
def cut_features(counts, cuts):
    # cuts: the bounds of len(cuts) - 1 ranges of features with about as many numbers each
    total, seen, d, n_ranges = counts.sum(), 0, 0, cuts.shape[0] - 1
    for part in range(n_ranges):
        while d < counts.shape[0] and seen * n_ranges < total * part:
            seen, d = seen + counts[d], d + 1
        cuts[part] = d
    cuts[n_ranges] = counts.shape[0]


@routine(counts_references=True)
def full_features(counts, n_rows):
    # the features that have a number in more rows than n_rows
    return np.flatnonzero(counts >= max(1, n_rows // SAMPLED))


@routine
def carry_full(features, sums, carried):
    # the sums of these features so far (len(features), C) are carried apart, and begin anew: few would be worth folding
    # all (130107 features x 20 classes: 4 ms a time)
    n_classes = carried.shape[1]
    for f in range(features.shape[0]):
        for c in range(n_classes):
            carried[f, c] += sums[features[f] * n_classes + c]
            sums[features[f] * n_classes + c] = 0


@routine
def return_full(features, sums, carried):
    # what was carried comes back to the sums
    n_classes = carried.shape[1]
    for f in range(features.shape[0]):
        for c in range(n_classes):
            sums[features[f] * n_classes + c] = carried[f, c]


@routine
def csr_grad_weight(first, last, X, start, G, cuts, sums):
    # sums_(d C + c) += sum_n G_nc X_nd for ranges first .. last of features (cuts), G being rows start .. of X
    data, indices, indptr = X
    g, out, width, n_classes = pointer(G), pointer(sums), lanes(sums), G.shape[1]
    for part in range(first, last):
        for n in range(G.shape[0]):
            begin, end = indptr[start + n], indptr[start + n + 1]
            if cuts.shape[0] > 2:
                begin = _position(indices, begin, end, cuts[part])
                end = _position(indices, begin, end, cuts[part + 1])
            for c in range(0, n_classes, 2 * width):
                low, high = min(width, n_classes - c), max(0, min(width, n_classes - c - width))
                a = load_masked(g, n * n_classes + c, low, 0)
                b, reach = load_masked(g, n * n_classes + c + width, high, 0), _reach(out, c, n_classes)
                if reach > 0:
                    _add_row(data, indices, begin, end, (a, low, b, high), out, c, n_classes, reach)
                else:  # a loop of its own (10 classes: 0.85 of the speed without)
                    _add_row(data, indices, begin, end, (a, low, b, high), out, c, n_classes, 0)


@inlined
def _add_row(data, indices, begin, end, cotangent, out, c, n_classes, reach):
    # out_(d C + c) += x_d g_c for numbers begin .. end of X and the classes of two vectors
    (a, low, b, high), width, last = cotangent, lanes(out), indices.shape[0] - 1
    for k in range(begin, end):
        _fetch(out, np.int64(indices[min(k + AHEAD, last)]) * n_classes + c, low + high, reach)
        here, x = np.int64(indices[k]) * n_classes + c, splat(a, data[k])
        store_masked(fma(x, a, load_masked(out, here, low, 0)), out, here, low)
        if high > 0:
            store_masked(fma(x, b, load_masked(out, here + width, high, 0)), out, here + width, high)


@inlined
def _position(indices, begin, end, column):
    # the first of indices begin .. end that is not below the column
    while begin < end:
        middle = (begin + end) // 2
        if indices[middle] < column:
            begin = middle + 1
        else:
            end = middle
    return begin


@routine
def csr_rows_logits(X, order, first, weight, bias, z):
    # z_ic = b_c + sum_k data_k W_(c, indices_k) over row order[first + i] of X: some rows, weight as it lies
    data, indices, indptr = X
    w, (n_classes, n_features) = pointer(weight), weight.shape
    for i in range(z.shape[0]):
        n = order[first + i]
        for c in range(n_classes):
            total = bias[c]
            for k in range(indptr[n], indptr[n + 1]):
                total += data[k] * w[c * n_features + np.int64(indices[k])]
            z[i, c] = total


@routine
def csr_rows_grad_weight(X, order, first, G, first_class, n_classes, adds, out):
    # out_cd = sum_i G_ic X_(order[first + i], d) for some classes, added to out (C, D) or put there
    data, indices, indptr = X
    w, n_features = pointer(out), out.shape[1]
    if not adds:
        out[first_class : first_class + n_classes] = 0
    for i in range(G.shape[0]):
        n = order[first + i]
        for c in range(first_class, first_class + n_classes):
            g = G[i, c]
            for k in range(indptr[n], indptr[n + 1]):
                w[c * n_features + np.int64(indices[k])] += g * data[k]
