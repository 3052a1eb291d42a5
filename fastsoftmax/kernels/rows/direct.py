"""Whole calls in compiled code, for arrays that need no preparation.

Their shapes are compared, their memory is looked at, and the kernel runs. A False (a loss of -1) says that this call is
not for here, and that nothing was written: arrays of other types, too, or that are not C-contiguous or not writable.

A call of ten numbers is nothing but overhead: 0.6 us this way, 4 through the gate, which finds the words for what is
wrong. C-contiguous matrices of one float dtype, labels int64.
"""

import numpy as np

from fastsoftmax.kernels.jit import inlined, kernel_for
from fastsoftmax.kernels.rows.jacobians import log_softmax_jvp_rows, log_softmax_vjp_rows, softmax_jvp_rows
from fastsoftmax.kernels.rows.losses import cross_entropy_rows, squared_error_rows
from fastsoftmax.kernels.rows.softmax import log_softmax_rows, softmax_rows
from fastsoftmax.kernels.rows.targets import first_bad_label
from fastsoftmax.kernels.rows.vecmath import sum_row

REFUSED = -1.0  # no loss is negative


@kernel_for(2, 2, refusal=False)
def softmax(logits, out, team):
    if not _fit(logits, out):
        return False
    softmax_rows(logits, None, out, team)
    return True


@kernel_for(2, 2, refusal=False)
def log_softmax(logits, out, team):
    if not _fit(logits, out):
        return False
    log_softmax_rows(logits, None, out, team)
    return True


@kernel_for(2, 2, 2, refusal=False)
def softmax_jvp(probs, tangent, out, team):
    if not (_fit(probs, out) and _fit(tangent, out)):
        return False
    softmax_jvp_rows(probs, tangent, out, team)
    return True


@kernel_for(2, 2, 2, refusal=False)
def log_softmax_jvp(log_probs, tangent, out, team):
    if not (_fit(log_probs, out) and _fit(tangent, out)):
        return False
    log_softmax_jvp_rows(log_probs, tangent, out, team)
    return True


@kernel_for(2, 2, 2, refusal=False)
def log_softmax_vjp(log_probs, cotangent, out, team):
    if not (_fit(log_probs, out) and _fit(cotangent, out)):
        return False
    log_softmax_vjp_rows(log_probs, cotangent, out, team)
    return True


@kernel_for(2, 1, 2, refusal=REFUSED, counts_references=True)
def cross_entropy_value_and_grad(logits, labels, out, team):
    # the mean over all rows
    if not _labels_fit(logits, labels, out):
        return REFUSED
    losses, scale = np.empty(labels.shape[0]), 1.0 / labels.shape[0]
    cross_entropy_rows(logits, labels, logits[:0], losses[:0], out[0, :0], 0.0, scale, losses, out, team)
    return sum_row(losses) * scale


@kernel_for(2, 1, 2, refusal=REFUSED, counts_references=True)
def squared_error_value_and_grad(logits, labels, out, team):
    # the mean over all rows
    if not _labels_fit(logits, labels, out):
        return REFUSED
    losses, scale = np.empty(labels.shape[0]), 1.0 / labels.shape[0]
    squared_error_rows(logits, labels, logits[:0], losses[:0], out[0, :0], 0.0, scale, losses, out, team)
    return sum_row(losses) * scale


@inlined
def _fit(array, out):
    return array.shape == out.shape and (array.ctypes.data == out.ctypes.data or _apart(array, out))


@inlined
def _labels_fit(logits, labels, out):
    if labels.shape[0] != logits.shape[0] or labels.shape[0] == 0 or not _fit(logits, out) or not _apart(labels, out):
        return False
    return first_bad_label(labels, logits.shape[1], 0, False) < 0


@inlined
def _apart(a, b):
    start_a, start_b = a.ctypes.data, b.ctypes.data
    return start_a + a.size * a.itemsize <= start_b or start_b + b.size * b.itemsize <= start_a
