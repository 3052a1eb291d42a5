"""Products with a CSR matrix X (N, D) = (data, indices, indptr): row n has the numbers data_k in the columns indices_k,
indptr_n <= k < indptr_(n + 1), in rising order.

weight (C, D) is turned, into (D, C), so that one number of X meets C neighbours. Only the gradient becomes dense.
"""

import numpy as np

from fastsoftmax.kernels._jit import kernel, step
from fastsoftmax.kernels.simd import (
    fma,
    lanes,
    load_some,
    pointer,
    prefetch,
    room,
    splat,
    store_some,
    transpose,
)

AHEAD = 12  # numbers of X whose weights are fetched ahead


@kernel
def first_bad_index(indices, indptr, n_features):
    # the first position of a column that does not exist, or -1; and whether the columns rise in each row
    rising = True
    for n in range(indptr.shape[0] - 1):
        last = np.int64(0)
        for k in range(indptr[n], indptr[n + 1]):
            column = np.int64(indices[k])
            if column < 0 or column >= n_features:
                return k, rising
            rising = rising and column >= last
            last = column
    return np.int64(-1), rising


@kernel
def turn_weight(first, last, weight, turned, start):
    # turned_(start + d C + c) = weight_cd for features first .. last
    width, (n_classes, n_features) = lanes(weight), weight.shape
    for d in range(first, last, width):
        for c in range(0, n_classes, width):
            rows, columns = min(width, n_classes - c), min(width, last - d)
            target = start + d * n_classes + c
            transpose(
                pointer(weight), c * n_features + d, n_features, rows, columns, pointer(turned), target, n_classes
            )


@kernel
def add_turned(first, last, sums, out):
    # out_cd += sums_(d C + c) for features first .. last
    width, (n_classes, n_features) = lanes(out), out.shape
    tile = room(out)
    for d in range(first, last, width):
        for c in range(0, n_classes, width):
            rows, columns = min(width, last - d), min(width, n_classes - c)
            transpose(pointer(sums), d * n_classes + c, n_classes, rows, columns, tile, 0, width)
            for j in range(columns):
                here = (c + j) * n_features + d
                value = load_some(pointer(out), here, rows, 0) + load_some(tile, j * width, rows, 0)
                store_some(value, pointer(out), here, rows)


@kernel
def csr_logits(first, last, X, start, turned, place, bias, z):
    # z_nc = sum_k data_k W_(c, indices_k) + b_c for rows start + first .. start + last of X; z begins at row `start`.
    # turned: weight from `place` on
    data, indices, indptr = X
    w, width, n_classes = pointer(turned), lanes(turned), z.shape[1]
    end = indptr[indptr.shape[0] - 1] - 1
    for n in range(first, last):
        for c in range(0, n_classes, 2 * width):
            low, high = min(width, n_classes - c), max(0, min(width, n_classes - c - width))
            a, b = splat(turned, 0), splat(turned, 0)
            for k in range(indptr[start + n], indptr[start + n + 1]):
                following = place + np.int64(indices[min(k + AHEAD, end)]) * n_classes + c
                prefetch(w, following)
                prefetch(w, following + low + high - 1)
                here, x = place + np.int64(indices[k]) * n_classes + c, splat(turned, data[k])
                a = fma(x, load_some(w, here, low, 0), a)
                b = fma(x, load_some(w, here + width, high, 0), b)
            out = pointer(z)
            store_some(a + load_some(pointer(bias), c, low, 0), out, n * n_classes + c, low)
            store_some(b + load_some(pointer(bias), c + width, high, 0), out, n * n_classes + c + width, high)


@kernel
def csr_grad_weight(first, last, X, start, G, ranges, n_features, sums):
    # sums_(d C + c) += sum_n G_nc X_nd for the features of ranges first .. last, G being rows start .. of X
    data, indices, indptr = X
    g, out, width, n_classes = pointer(G), pointer(sums), lanes(sums), G.shape[1]
    for part in range(first, last):
        from_column, to_column = n_features * part // ranges, n_features * (part + 1) // ranges
        for n in range(G.shape[0]):
            begin = _position(indices, indptr[start + n], indptr[start + n + 1], from_column)
            end = _position(indices, begin, indptr[start + n + 1], to_column)
            for c in range(0, n_classes, 2 * width):
                low, high = min(width, n_classes - c), max(0, min(width, n_classes - c - width))
                a = load_some(g, n * n_classes + c, low, 0)
                b = load_some(g, n * n_classes + c + width, high, 0)
                for k in range(begin, end):
                    here, x = np.int64(indices[k]) * n_classes + c, splat(sums, data[k])
                    store_some(fma(x, a, load_some(out, here, low, 0)), out, here, low)
                    if high > 0:
                        store_some(fma(x, b, load_some(out, here + width, high, 0)), out, here + width, high)


@step
def _position(indices, begin, end, column):
    # the first of indices begin .. end that is not below the column
    while begin < end:
        middle = (begin + end) // 2
        if indices[middle] < column:
            begin = middle + 1
        else:
            end = middle
    return begin
