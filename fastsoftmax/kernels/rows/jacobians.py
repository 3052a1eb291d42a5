"""Products of the Jacobian of softmax and of log_softmax with a vector, over the rows of a matrix, without building it.

Shapes: N rows, C columns, C-contiguous, one dtype for all. Each kernel checks nothing, and hands spans of rows to
threads if it is given a team (threads.py). A row of one vector or two is read once and stays in registers (10 columns:
AVX2 1.8 ns a row against 3.9, AVX-512 1.5 against 3.5). out may be either input.
"""

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.vecmath import AHEAD, exp, fetch_ahead, fill_row, streams, sum_values
from fastsoftmax.kernels.simd import (
    fma,
    lanes,
    load_masked,
    pointer,
    prefetch,
    splat,
    store,
    store_fence,
    store_masked,
    sum_of,
)
from fastsoftmax.kernels.threads import share


@kernel
def softmax_jvp_rows(probs, tangent, out, team):
    # (J v)_j = p_j (v_j - <p, v>), because J_ij = p_i (delta_ij - p_j);  probs, tangent (N, C) -> out (N, C)
    share(team, probs.shape[0], probs.shape[1], _softmax_jvp_span, (probs, tangent, out, streams(out)))


@routine
def _softmax_jvp_span(first, last, probs, tangent, out, streaming):
    _fill_by_sums(first, last, probs, tangent, out, streaming, _product_added, _softmax_jvp_at)


@inlined
def _product_added(total, j, count, start, p, v, streaming):
    return fma(load_masked(p, start + j, count, 0), load_masked(v, start + j, count, 0), total)


@inlined
def _softmax_jvp_at(j, count, start, inner, p, v, streaming):
    if streaming:
        prefetch(p, start + j + AHEAD * lanes(p))
        prefetch(v, start + j + AHEAD * lanes(p))
    return load_masked(p, start + j, count, 0) * (load_masked(v, start + j, count, 0) - inner)


softmax_vjp_rows = softmax_jvp_rows  # J is symmetric: J^T u is J u


@kernel
def log_softmax_jvp_rows(log_probs, tangent, out, team):
    # d(log p_j)/dz_k = delta_jk - p_k, so (J v)_j = v_j - <p, v>;  log_probs, tangent (N, C) -> out (N, C)
    share(team, log_probs.shape[0], log_probs.shape[1], _log_softmax_jvp_span, (log_probs, tangent, out, streams(out)))


@routine
def _log_softmax_jvp_span(first, last, log_probs, tangent, out, streaming):
    _fill_by_sums(first, last, log_probs, tangent, out, streaming, _prob_times_added, _less)


@inlined
def _prob_times_added(total, j, count, start, log_p, v, streaming):
    return fma(exp(load_masked(log_p, start + j, count, 0)), load_masked(v, start + j, count, 0), total)


@inlined
def _less(j, count, start, inner, log_p, v, streaming):
    return load_masked(v, start + j, count, 0) - inner


@kernel
def log_softmax_vjp_rows(log_probs, cotangent, out, team):
    # (J^T u)_k = u_k - p_k sum_j u_j;  log_probs, cotangent (N, C) -> out (N, C)
    share(
        team, log_probs.shape[0], log_probs.shape[1], _log_softmax_vjp_span, (log_probs, cotangent, out, streams(out))
    )


@routine
def _log_softmax_vjp_span(first, last, log_probs, cotangent, out, streaming):
    _fill_by_sums(first, last, log_probs, cotangent, out, streaming, _cotangent_added, _less_share)


@inlined
def _cotangent_added(total, j, count, start, log_p, u, streaming):
    return total + load_masked(u, start + j, count, 0)


@inlined
def _less_share(j, count, start, total, log_p, u, streaming):
    minus_prob = splat(u, 0) - exp(load_masked(log_p, start + j, count, 0))
    return fma(minus_prob, total, load_masked(u, start + j, count, 0))


@inlined
def _fill_by_sums(first, last, x, y, out, streaming, added, value):
    # each row of out from the same rows of x and y and a sum over them: added and value as in sum_values and fill_row
    n_columns, width, target, a, b = out.shape[1], lanes(out), pointer(out), pointer(x), pointer(y)
    if streaming:
        for n in range(first, last):
            start = n * n_columns
            total = splat(out, sum_values(out, n_columns, added, (start, a, b, True)))
            fill_row(target, start, n_columns, True, value, (start, total, a, b, True))
        store_fence()
    elif n_columns > 2 * width:
        for n in range(first, last):
            start = n * n_columns
            total = splat(out, sum_values(out, n_columns, added, (start, a, b, False)))
            fill_row(target, start, n_columns, False, value, (start, total, a, b, False))
    else:  # one vector, or two, which stay in registers; what they spill over is the next row's
        high = n_columns - width
        in_place = out.ctypes.data == x.ctypes.data or out.ctypes.data == y.ctypes.data
        last_spill = first if in_place or n_columns == 0 else last - -(-width // n_columns)
        for n in range(first, last):
            start = n * n_columns
            fetch_ahead(a, start, 1)
            fetch_ahead(b, start, 1)
            total = added(splat(out, 0), 0, width if high > 0 else n_columns, start, a, b, False)
            if high > 0:
                total = added(total, width, high, start, a, b, False)
            total = splat(out, sum_of(total)) + splat(out, 0)  # -0 becomes 0, as in sum_values
            low = value(0, width if high > 0 else n_columns, start, total, a, b, False)
            if high > 0:
                end = value(width, high, start, total, a, b, False)
                store(low, target, start)
                if n < last_spill:
                    store(end, target, start + width)
                else:
                    store_masked(end, target, start + width, high)
            elif n < last_spill:
                store(low, target, start)
            else:
                store_masked(low, target, start, n_columns)
