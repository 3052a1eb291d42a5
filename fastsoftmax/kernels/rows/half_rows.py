"""softmax, log_softmax and their products over rows of float16, a block of them at a time.

A block is widened (halves.py), worked on as float32, and narrowed while it lies in a cache. float16 are their bits.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.halves import narrow, widen
from fastsoftmax.kernels.rows.jacobians import log_softmax_jvp_rows, log_softmax_vjp_rows, softmax_jvp_rows
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, softmax_rows
from fastsoftmax.kernels.threads import share
from fastsoftmax.kernels.views import matrix, part

BLOCK = 8192  # numbers of some rows
SOFTMAX, LOG_SOFTMAX, SOFTMAX_JVP, LOG_SOFTMAX_JVP, LOG_SOFTMAX_VJP = range(5)


@kernel
def half_map_rows(which, x, out, team):
    # SOFTMAX or LOG_SOFTMAX of rows;  x (N, C) -> out (N, C), both uint16
    share(team, x.shape[0], x.shape[1], _map_span, (which, x, out))


@routine(counts_references=True)
def _map_span(first, last, which, x, out):
    n_columns, at_once = x.shape[1], _rows_at_once(x)
    floats = np.empty((min(at_once, last - first), n_columns), np.float32)
    for n in range(first, last, at_once):
        rows = _widened(x, n, min(at_once, last - n), floats)
        if which == SOFTMAX:
            _softmax(rows)
        else:
            _log_softmax(rows)
        _put(rows, out, n)


@kernel
def half_product_rows(which, at, vector, out, team):
    # SOFTMAX_JVP, LOG_SOFTMAX_JVP or LOG_SOFTMAX_VJP of rows;  at, vector (N, C) -> out (N, C), all of them uint16
    share(team, at.shape[0], at.shape[1], _product_span, (which, at, vector, out))


@routine(counts_references=True)
def _product_span(first, last, which, at, vector, out):
    at_once = _rows_at_once(at)
    size = min(at_once, last - first), at.shape[1]
    points, vectors, products = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    for n in range(first, last, at_once):
        count = min(at_once, last - n)
        x, y = _widened(at, n, count, points), _widened(vector, n, count, vectors)
        result = matrix(products, 0, count, size[1])
        if which == SOFTMAX_JVP:
            _softmax_jvp(x, y, result)
        elif which == LOG_SOFTMAX_JVP:
            _log_softmax_jvp(x, y, result)
        else:
            _log_softmax_vjp(x, y, result)
        _put(result, out, n)


@inlined
def _rows_at_once(x):
    rows = max(1, BLOCK // max(1, x.shape[1]))
    return rows - rows % 16 if rows > 16 else rows


@inlined(counts_references=True)
def _widened(halves, first, count, floats):
    # rows of halves, in floats
    size = count * halves.shape[1]
    bits = floats.view(np.uint32)
    widen(part(halves, first * halves.shape[1], size), part(bits, 0, size), part(floats, 0, size))
    return matrix(floats, 0, count, halves.shape[1])


@inlined(counts_references=True)
def _put(rows, halves, first):
    bits = rows.view(np.uint32)
    narrow(part(bits, 0, bits.size), part(rows, 0, bits.size), part(halves, first * rows.shape[1], bits.size))


@routine(deferred=True)
def _softmax(rows):
    softmax_rows(rows, None, rows, 0)


@routine(deferred=True)
def _log_softmax(rows):
    log_softmax_rows(rows, None, rows, 0)


@routine(deferred=True)
def _softmax_jvp(probs, vector, out):
    softmax_jvp_rows(probs, vector, out, 0)


@routine(deferred=True)
def _log_softmax_jvp(log_probs, vector, out):
    log_softmax_jvp_rows(log_probs, vector, out, 0)


@routine(deferred=True)
def _log_softmax_vjp(log_probs, vector, out):
    log_softmax_vjp_rows(log_probs, vector, out, 0)
