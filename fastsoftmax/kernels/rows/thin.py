"""Arrays (outer, C, inner) with two or three neighbours along the axis: in a copy whose rows run along it.

Columns so few would leave most of a vector empty (columns.py).
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, routine
from fastsoftmax.kernels.rows.jacobians import log_softmax_jvp_rows, log_softmax_vjp_rows, softmax_jvp_rows
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, softmax_rows

WIDE = 4  # neighbours that are not few any more


@inlined
def is_thin(array):
    return 1 < array.shape[2] < WIDE


@routine(counts_references=True, deferred=True)
def thin_softmax(logits, is_log, out, team):
    # softmax or log_softmax
    rows = _copied_rows(logits)
    if is_log:
        log_softmax_rows(rows, None, rows, team)
    else:
        softmax_rows(rows, None, rows, team)
    _put_rows(rows, out)


@routine(counts_references=True, deferred=True)
def thin_product(point, vector, is_log, is_transposed, out, team):
    # J v or, if it is transposed, J^T v of softmax or log_softmax
    at, rows = _copied_rows(point), _copied_rows(vector)
    if not is_log:
        softmax_jvp_rows(at, rows, rows, 0)  # a helper would take longer to fetch the copies than they are worked on
    elif is_transposed:
        log_softmax_vjp_rows(at, rows, rows, team)
    else:
        log_softmax_jvp_rows(at, rows, rows, team)
    _put_rows(rows, out)


@inlined(counts_references=True)
def _copied_rows(array):
    outer, n, inner = array.shape
    rows = np.empty((outer * inner, n), array.dtype)
    for i in range(outer):
        for k in range(inner):
            for c in range(n):
                rows[i * inner + k, c] = array[i, c, k]
    return rows


@inlined
def _put_rows(rows, out):
    outer, n, inner = out.shape
    for i in range(outer):
        for k in range(inner):
            for c in range(n):
                out[i, c, k] = rows[i * inner + k, c]
