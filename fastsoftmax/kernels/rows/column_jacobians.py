"""Products with the Jacobian along an axis that is not the last: arrays (outer, C, inner), C-contiguous.

As columns.py has softmax itself: strips where rows are near one another, and else panels (panels.py).
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.panels import SUMS, are_near_for_sums, panel_at, panel_width, panels_of, sum_panel
from fastsoftmax.kernels.rows.strips import sum_strip
from fastsoftmax.kernels.rows.vecmath import fill_row, streams
from fastsoftmax.kernels.simd import fma, lanes, load_masked, pointer, splat, store_fence, store_masked
from fastsoftmax.kernels.threads import share


@kernel(deferred=True)
def softmax_jvp_columns(probs, tangent, out, team):
    # (J v)_j = p_j (v_j - <p, v>);  probs, tangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(probs, False, team)
    n_panels, size = panels_of(probs, width)
    share(team, n_panels, size, _softmax_jvp_span, (probs, tangent, out, width))


@routine(counts_references=True)
def _softmax_jvp_span(first, last, probs, tangent, out, width):
    x, y = pointer(probs), pointer(tangent)
    _product_span(first, last, probs, x, y, out, width, _product, _softmax_jvp, _softmax_jvp_in_panel)


softmax_vjp_columns = softmax_jvp_columns  # J is symmetric: J^T u is J u


@inlined
def _product(total, j, some, p, v):
    return fma(load_masked(p, j, some, 0), load_masked(v, j, some, 0), total)


@inlined
def _softmax_jvp(j, some, inner, p, v):
    return load_masked(p, j, some, 0) * (load_masked(v, j, some, 0) - inner)


@inlined
def _softmax_jvp_in_panel(j, some, row, p, v, sums):
    return _softmax_jvp(row + j, some, load_masked(sums, j, some, 0), p, v)


@kernel(deferred=True)
def log_softmax_jvp_columns(log_probs, tangent, out, team):
    # (J v)_j = v_j - <p, v>;  log_probs, tangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(log_probs, False, team)
    n_panels, size = panels_of(log_probs, width)
    share(team, n_panels, size, _log_softmax_jvp_span, (log_probs, tangent, out, width))


@routine(counts_references=True)
def _log_softmax_jvp_span(first, last, log_probs, tangent, out, width):
    x, y = pointer(log_probs), pointer(tangent)
    _product_span(
        first, last, log_probs, x, y, out, width, _product_with_exp, _log_softmax_jvp, _log_softmax_jvp_in_panel
    )


@inlined
def _product_with_exp(total, j, some, log_p, v):
    return fma(exp(load_masked(log_p, j, some, 0)), load_masked(v, j, some, 0), total)


@inlined
def _log_softmax_jvp(j, some, inner, log_p, v):
    return load_masked(v, j, some, 0) - inner


@inlined
def _log_softmax_jvp_in_panel(j, some, row, log_p, v, sums):
    return _log_softmax_jvp(row + j, some, load_masked(sums, j, some, 0), log_p, v)


@kernel(deferred=True)
def log_softmax_vjp_columns(log_probs, cotangent, out, team):
    # (J^T u)_k = u_k - p_k sum_j u_j;  log_probs, cotangent (outer, C, inner) -> out (outer, C, inner)
    width = panel_width(log_probs, False, team)
    n_panels, size = panels_of(log_probs, width)
    share(team, n_panels, size, _log_softmax_vjp_span, (log_probs, cotangent, out, width))


@routine(counts_references=True)
def _log_softmax_vjp_span(first, last, log_probs, cotangent, out, width):
    x, y = pointer(log_probs), pointer(cotangent)
    _product_span(first, last, log_probs, x, y, out, width, _cotangent, _log_softmax_vjp, _log_softmax_vjp_in_panel)


@inlined
def _cotangent(total, j, some, log_p, u):
    return total + load_masked(u, j, some, 0)


@inlined
def _log_softmax_vjp(j, some, total, log_p, u):
    return fma(exp(load_masked(log_p, j, some, 0)), splat(u, 0) - total, load_masked(u, j, some, 0))


@inlined
def _log_softmax_vjp_in_panel(j, some, row, log_p, u, sums):
    return _log_softmax_vjp(row + j, some, load_masked(sums, j, some, 0), log_p, u)


@inlined(counts_references=True)
def _product_span(first, last, array, x, y, out, width, added, value, value_in_panel):
    # out at j, `some` elements: value(j, some, total of their columns, x, y), or, at row + j of a panel,
    # value_in_panel(j, some, row, x, y, sums); added: see sum_strip, of (x, y)
    length, inner, streaming = array.shape[1], array.shape[2], streams(out)
    room = np.empty(SUMS * width, array.dtype)
    for number in range(first, last):
        (block, left, count), sums = panel_at(array, width, number), pointer(room)
        start = block * length * inner + left
        if are_near_for_sums(array):
            for j in range(start, start + count, lanes(array)):
                some = min(lanes(array), start + count - j)
                total = sum_strip(sums, j, inner, length, some, added, (x, y))
                for k in range(j, j + length * inner, inner):
                    store_masked(value(k, some, total, x, y), pointer(out), k, some)
        else:
            sum_panel(sums, start, inner, count, length, added, (x, y), sums, width)
            for row in range(start, start + length * inner, inner):
                fill_row(pointer(out), row, count, streaming, value_in_panel, (row, x, y, sums))
    if streaming:
        store_fence()
