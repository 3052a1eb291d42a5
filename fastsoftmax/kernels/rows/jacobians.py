"""Products of the Jacobian of softmax and of log_softmax with a vector, over the rows of a matrix, without building it.

Shapes: N rows, C columns, C-contiguous, one dtype for all. Each kernel checks nothing, and hands spans of rows to
threads if it is given a team (threads.py). A product is a sum over its row, and then each element from that sum
(by_sums.py). out may be either input.
"""

from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.rows.by_sums import fill_by_sums, from_copies, needs_copies
from fastsoftmax.kernels.rows.elementary import exp
from fastsoftmax.kernels.rows.vecmath import AHEAD, streams
from fastsoftmax.kernels.simd import fma, lanes, load_masked, prefetch, splat
from fastsoftmax.kernels.threads import share


@kernel
def softmax_jvp_rows(probs, tangent, out, team):
    # (J v)_j = p_j (v_j - <p, v>), because J_ij = p_i (delta_ij - p_j);  probs, tangent (N, C) -> out (N, C)
    share(team, probs.shape[0], probs.shape[1], _softmax_jvp_span, (probs, tangent, out, streams(out)))


@routine
def _softmax_jvp_span(first, last, probs, tangent, out, streaming):
    if needs_copies(probs, tangent, out, False):
        _softmax_jvp_in_place(first, last, probs, tangent, out)
    else:
        fill_by_sums(first, last, probs, tangent, out, streaming, _product_added, _softmax_jvp_at, False)


@routine(counts_references=True, deferred=True)
def _softmax_jvp_in_place(first, last, probs, tangent, out):
    from_copies(_softmax_jvp_span, first, last, probs, tangent, out)


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
    if needs_copies(log_probs, tangent, out, True):
        _log_softmax_jvp_in_place(first, last, log_probs, tangent, out)
    else:
        fill_by_sums(first, last, log_probs, tangent, out, streaming, _prob_times_added, _less, True)


@routine(counts_references=True, deferred=True)
def _log_softmax_jvp_in_place(first, last, log_probs, tangent, out):
    from_copies(_log_softmax_jvp_span, first, last, log_probs, tangent, out)


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
    if needs_copies(log_probs, cotangent, out, True):
        _log_softmax_vjp_in_place(first, last, log_probs, cotangent, out)
    else:
        fill_by_sums(first, last, log_probs, cotangent, out, streaming, _cotangent_added, _less_share, True)


@routine(counts_references=True, deferred=True)
def _log_softmax_vjp_in_place(first, last, log_probs, cotangent, out):
    from_copies(_log_softmax_vjp_span, first, last, log_probs, cotangent, out)


@inlined
def _cotangent_added(total, j, count, start, log_p, u, streaming):
    return total + load_masked(u, start + j, count, 0)


@inlined
def _less_share(j, count, start, total, log_p, u, streaming):
    minus_prob = splat(u, 0) - exp(load_masked(log_p, start + j, count, 0))
    return fma(minus_prob, total, load_masked(u, start + j, count, 0))
