"""A dense layer and what is asked of its softmax, in one pass over X: probabilities, their logarithms, the likeliest.

Shapes: X (N, D) or the (data, indices, indptr) of a CSR matrix, weight (C, D), bias (C,), out (N, C), labels (N,).
passes.py leads the way; here is what is made of the logits of a block of rows while they lie in a cache. Where out has
one column more than weight has rows, the first class has logits 0, as in a model that keeps one logit of two classes.
"""

from fastsoftmax.kernels.closures import bind, keep
from fastsoftmax.kernels.jit import inlined, kernel, routine
from fastsoftmax.kernels.layer.passes import pass_over_rows
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, softmax_rows
from fastsoftmax.kernels.rows.vecmath import max_row
from fastsoftmax.kernels.simd import equal, lanes, load_masked, pointer, popcount
from fastsoftmax.kernels.views import matrix, part


@kernel
def linear_softmax_rows(X, weight, bias, temperature, out, team):
    # p_nc = e_nc / sum_k e_nk,  e_nc = exp((z_nc - max_k z_nk) / T),  z = X W^T + b;  p into out
    _pass(team, X, weight, bias, _softmax, (temperature, out))


@kernel
def linear_log_softmax_rows(X, weight, bias, temperature, out, team):
    # log p_nc, into out
    _pass(team, X, weight, bias, _log_softmax, (temperature, out))


@kernel
def linear_argmax_rows(X, weight, bias, labels, team):
    # the c of the largest z_nc, as np.argmax gives it; ~c where that is not finite
    _pass(team, X, weight, bias, _argmax, (labels,))


@inlined
def _pass(team, X, weight, bias, work, arguments):
    like, no_sums = matrix(weight, 0, 0, 0), (weight[:0], bias[:0], weight[:0])
    products = (1, weight, bias, weight, bias)
    pass_over_rows(team, X, products, bind(work, arguments, (0, like, like)), weight, no_sums)
    keep(arguments)


@inlined
def _softmax(first, z, second, temperature, out):
    here = _rows_of(out, first, z)
    logits = z if z.shape[1] == out.shape[1] else here
    if temperature == 1:
        softmax_rows(logits, None, here, 0)
    else:
        softmax_rows(logits, temperature, here, 0)


@inlined
def _log_softmax(first, z, second, temperature, out):
    here = _rows_of(out, first, z)
    logits = z if z.shape[1] == out.shape[1] else here
    if temperature == 1:
        log_softmax_rows(logits, None, here, 0)
    else:
        log_softmax_rows(logits, temperature, here, 0)


@inlined(counts_references=True)
def _rows_of(out, first, z):
    # the rows of out that belong to z; (0, z) stands there already where z has one column less
    here = matrix(out, first * out.shape[1], z.shape[0], out.shape[1])
    if z.shape[1] < out.shape[1]:
        for n in range(z.shape[0]):
            here[n, 0] = 0
            for c in range(z.shape[1]):
                here[n, c + 1] = z[n, c]
    return here


@inlined
def _argmax(first, z, second, labels):
    _argmax_rows(z, part(labels, first, z.shape[0]))


@routine
def _argmax_rows(z, labels):
    # the first of the largest numbers of each row, or its first NaN; ~c if it is not finite
    x, n_columns = pointer(z), z.shape[1]
    for n in range(z.shape[0]):
        start = n * n_columns
        end, at = start + n_columns, start
        if _has_nan(x, start, end):
            while x[at] == x[at]:
                at += 1
        else:
            top = max_row(x, start, n_columns)
            while x[at] < top:
                at += 1
        labels[n] = at - start if x[at] - x[at] == 0 else ~(at - start)


@inlined
def _has_nan(x, start, end):
    missing = 0
    for j in range(start, end, lanes(x)):
        vector = load_masked(x, j, min(lanes(x), end - j), 0)
        missing += lanes(x) - popcount(equal(vector, vector))
    return missing > 0
