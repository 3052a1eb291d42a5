"""Whole calls in compiled code, for arrays that need no preparation.

Their memory is looked at, and the kernel runs. A False, or a loss of REFUSED, says that this call is not for here, and
that nothing was written: the gate finds the words for what is wrong. Of one shape: arrays along any axis, (outer, C,
inner); logits along the last one, (N, C), with labels (N,).

A call of ten numbers is nothing but overhead: 0.2 us this way, 4 through the gate.
"""

from functools import partial

import numpy as np

from fastsoftmax.kernels.jit import inlined, whole_call
from fastsoftmax.kernels.rows.column_jacobians import (
    log_softmax_jvp_columns,
    log_softmax_vjp_columns,
    softmax_jvp_columns,
)
from fastsoftmax.kernels.rows.columns import log_softmax_columns, softmax_columns
from fastsoftmax.kernels.rows.jacobians import log_softmax_jvp_rows, log_softmax_vjp_rows, softmax_jvp_rows
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, softmax_rows
from fastsoftmax.kernels.rows.targets import first_bad_label
from fastsoftmax.kernels.rows.thin import is_thin, thin_product, thin_softmax
from fastsoftmax.kernels.rows.vecmath import sum_row
from fastsoftmax.kernels.threads import SMALL
from fastsoftmax.kernels.views import matrix, part

REFUSED = -1.0  # no loss is negative
# Elements that one thread has done before another has begun; without exp it takes longer (vjp of 256 x 100: 2.9 us
# alone, 3.4 with a helper), float64 takes less (log_softmax of 100 x 100: 10 us alone, 7 with a helper)
FEW = {"float32": SMALL, "float64": SMALL // 3}
FEW_WITHOUT_EXP = {"float32": 40_960, "float64": 20_480}

_along_axis = partial(whole_call, small=FEW)
_with_labels = partial(whole_call, small=FEW, counts_references=True)


@_along_axis(3, 3)
def softmax(logits, out, team):
    if not _can_be_filled(out, logits):
        return False
    if logits.shape[2] == 1:
        softmax_rows(_rows(logits), None, _rows(out), team)
    elif is_thin(logits):
        thin_softmax(logits, False, out, team)
    else:
        softmax_columns(logits, None, out, team)
    return True


@_along_axis(3, 3)
def log_softmax(logits, out, team):
    if not _can_be_filled(out, logits):
        return False
    if logits.shape[2] == 1:
        log_softmax_rows(_rows(logits), None, _rows(out), team)
    elif is_thin(logits):
        thin_softmax(logits, True, out, team)
    else:
        log_softmax_columns(logits, None, out, team)
    return True


@_along_axis(3, 3, 3, small=FEW_WITHOUT_EXP)
def softmax_jvp(probs, tangent, out, team):
    if not (_can_be_filled(out, probs) and _can_be_filled(out, tangent)):
        return False
    if probs.shape[2] == 1:
        softmax_jvp_rows(_rows(probs), _rows(tangent), _rows(out), team)
    elif is_thin(probs):
        thin_product(probs, tangent, False, False, out, team)
    else:
        softmax_jvp_columns(probs, tangent, out, team)
    return True


@_along_axis(3, 3, 3)
def log_softmax_jvp(log_probs, tangent, out, team):
    if not (_can_be_filled(out, log_probs) and _can_be_filled(out, tangent)):
        return False
    if log_probs.shape[2] == 1:
        log_softmax_jvp_rows(_rows(log_probs), _rows(tangent), _rows(out), team)
    elif is_thin(log_probs):
        thin_product(log_probs, tangent, True, False, out, team)
    else:
        log_softmax_jvp_columns(log_probs, tangent, out, team)
    return True


@_along_axis(3, 3, 3)
def log_softmax_vjp(log_probs, cotangent, out, team):
    if not (_can_be_filled(out, log_probs) and _can_be_filled(out, cotangent)):
        return False
    if log_probs.shape[2] == 1:
        log_softmax_vjp_rows(_rows(log_probs), _rows(cotangent), _rows(out), team)
    elif is_thin(log_probs):
        thin_product(log_probs, cotangent, True, True, out, team)
    else:
        log_softmax_vjp_columns(log_probs, cotangent, out, team)
    return True


@_with_labels(2, 1, 2)
def cross_entropy_value_and_grad(logits, labels, out, team):
    if not _can_be_filled(out, logits):
        return REFUSED
    return _mean_loss(cross_entropy_rows, logits, labels, part(logits, 0, 0), out, team)


@_with_labels(2, 1, 2)
def squared_error_value_and_grad(logits, labels, out, team):
    if not _can_be_filled(out, logits):
        return REFUSED
    return _mean_loss(squared_error_rows, logits, labels, part(logits, 0, 0), out, team)


@_with_labels(2, 1, 1)
def cross_entropy(logits, labels, out, team):
    return _mean_loss(cross_entropy_rows, logits, labels, out, logits[:0], team)


@_with_labels(2, 1, 1)
def squared_error(logits, labels, out, team):
    return _mean_loss(squared_error_rows, logits, labels, out, logits[:0], team)


@inlined(counts_references=True)
def _mean_loss(loss_rows, logits, labels, each, grad, team):
    # over all rows; the loss of each, and the gradient, too, if there is room for it
    if labels.shape[0] == 0 or not _apart(labels, grad) or first_bad_label(labels, logits.shape[1], 0, False) >= 0:
        return REFUSED
    losses, scale, no_class = np.empty(labels.shape[0]), 1.0 / labels.shape[0], logits[0, :0]
    loss_rows(logits, labels, logits[:0], losses[:0], no_class, 0.0, scale, losses, grad, team)
    for n in range(each.shape[0]):
        each[n] = losses[n]
    return sum_row(losses) * scale


@inlined(counts_references=True)
def _rows(array):
    return matrix(array, 0, array.shape[0], array.shape[1])


@inlined
def _can_be_filled(out, read):
    return read.ctypes.data == out.ctypes.data or _apart(read, out)


@inlined
def _apart(a, b):
    start_a, start_b = a.ctypes.data, b.ctypes.data
    return start_a + a.size * a.itemsize <= start_b or start_b + b.size * b.itemsize <= start_a
