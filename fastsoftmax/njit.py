"""The public functions by the same name inside a user's own @njit code; importing fastsoftmax is enough.

    @numba.njit
    def predict(logits):
        return fs.softmax(logits)

They take 1-D and 2-D arrays of float32, float64, integers or bool, of any layout, along the last axis, with parallel
on or off. out=, keepdims= and other axes are for Python only; where= must have the shape of its array. Each overload
looks at Numba's types once, when the caller is compiled, and returns the code for them.
"""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from fastsoftmax import functional, kernels
from fastsoftmax.kernels.jit.numba_internals import as_dtype, from_dtype

EXACT = {"fastmath": False}  # said, or that of the user's function would be handed down: NaN and inf would mean nothing
jitable = register_jitable(**EXACT)


@overload(functional.softmax, jit_options=EXACT)
def _softmax(logits, axis=-1, temperature=1.0, where=None, out=None):
    return _softmax_like(kernels.softmax_rows, logits, temperature, where, out, 0.0)


@overload(functional.log_softmax, jit_options=EXACT)
def _log_softmax(logits, axis=-1, temperature=1.0, where=None, out=None):
    return _softmax_like(kernels.log_softmax_rows, logits, temperature, where, out, -np.inf)


def _softmax_like(kernel, logits, temperature, where, out, hidden):
    dtype = _float_of(logits)
    if dtype is None or not _absent(out) or not _is_mask(where):
        return None
    read, hide, scaled = _reader(logits, dtype), _hider(where), not _absent(temperature)

    def implementation(logits, axis=-1, temperature=1.0, where=None, out=None):
        _check_last_axis(axis, logits.ndim)
        rows = read(logits)
        result = np.empty(rows.shape, dtype)
        if scaled:
            scalar = dtype(temperature)
            if not (scalar > 0 and scalar < np.inf):
                raise ValueError("temperature must be positive and finite")
            kernel(hide(rows, where, logits, -np.inf), scalar, result, 0)
        else:
            kernel(hide(rows, where, logits, -np.inf), None, result, 0)
        return hide(result, where, logits, hidden).reshape(logits.shape)

    return implementation


@overload(functional.logsumexp, jit_options=EXACT, prefer_literal=True)
def _logsumexp(logits, axis=-1, keepdims=False, where=None):
    dtype = _float_of(logits)
    keeps = not _absent(keepdims) and getattr(keepdims, "literal_value", True)
    if dtype is None or keeps or not _is_mask(where):
        return None
    read, hide, finish = _reader(logits, dtype), _hider(where), _row_values(logits)

    def implementation(logits, axis=-1, keepdims=False, where=None):
        _check_last_axis(axis, logits.ndim)
        rows = read(logits)
        values = np.empty(rows.shape[0], dtype)
        kernels.logsumexp_rows(hide(rows, where, logits, -np.inf), values, 0)
        return finish(values, 1.0)

    return implementation


@overload(functional.softmax_jvp, jit_options=EXACT)
def _softmax_jvp(probs, tangent, axis=-1, out=None):
    product = _product(kernels.softmax_jvp_rows, probs, tangent, out)
    return product and (lambda probs, tangent, axis=-1, out=None: product(probs, tangent, axis))


@overload(functional.softmax_vjp, jit_options=EXACT)
def _softmax_vjp(probs, cotangent, axis=-1, out=None):
    product = _product(kernels.softmax_vjp_rows, probs, cotangent, out)
    return product and (lambda probs, cotangent, axis=-1, out=None: product(probs, cotangent, axis))


def _product(kernel, probs, vector, out):
    dtype = _float_of(probs, vector)
    if dtype is None or probs.ndim != vector.ndim or not _absent(out):
        return None
    read_probs, read_vector = _reader(probs, dtype), _reader(vector, dtype)

    @jitable
    def product(probs, vector, axis):
        _check_last_axis(axis, probs.ndim)
        if probs.shape != vector.shape:
            raise ValueError("tangent or cotangent must have the shape of probs")
        rows = read_probs(probs)
        result = np.empty(rows.shape, dtype)
        kernel(rows, read_vector(vector), result, 0)
        return result.reshape(probs.shape)

    return product


@overload(functional.cross_entropy, jit_options=EXACT, prefer_literal=True)
def _cross_entropy(
    logits, targets, sample_weight=None, class_weight=None, label_smoothing=0.0, ignore_index=None, reduction="mean"
):
    dtype = _float_of(logits)
    reduction = getattr(reduction, "literal_value", getattr(reduction, "value", reduction))
    soft = isinstance(targets, types.Array) and targets.ndim == getattr(logits, "ndim", None)
    labels = isinstance(getattr(targets, "dtype", targets), types.Integer | types.Boolean)
    whole = _absent(ignore_index) or isinstance(ignore_index, types.Integer)
    if dtype is None or reduction not in ("none", "sum", "mean") or not (soft or labels) or not whole:
        return None
    mean = reduction == "mean"
    read = _reader(logits, dtype)
    read_targets = _distribution_reader(targets, dtype, ignore_index) if soft else _label_reader(targets, ignore_index)
    read_row_weight, read_class_weight = (
        _weight_reader(sample_weight, np.float64, mean),
        _weight_reader(class_weight, dtype, mean),
    )
    finish = _row_values(logits) if reduction == "none" else _summed(dtype)

    def implementation(
        logits, targets, sample_weight=None, class_weight=None, label_smoothing=0.0, ignore_index=None, reduction="mean"
    ):
        if not (label_smoothing >= 0 and label_smoothing <= 1):
            raise ValueError("label_smoothing must be between 0 and 1")
        rows = read(logits)
        labels, distribution = read_targets(targets, rows, ignore_index)
        by_row = read_row_weight(sample_weight, rows.shape[0])
        by_class = read_class_weight(class_weight, rows.shape[1])
        losses = np.empty(rows.shape[0], np.float64)
        smoothing, none = np.float64(label_smoothing), np.empty((0, 0), dtype)
        kernels.cross_entropy_rows(rows, labels, distribution, by_row, by_class, smoothing, 1.0, losses, none, 0)
        scale = 1.0
        if mean:
            by_label = by_class[:0] if soft else by_class
            scale = _one_over_weight(kernels.weight_taking_part(labels, distribution, by_row, by_label))
        return finish(losses, scale)

    return implementation


def _float_of(*arrays):
    """The scalar type to compute in for arrays of these Numba types; None if one of them is not taken."""
    dtypes = []
    for array in arrays:
        if not isinstance(array, types.Array) or array.ndim not in (1, 2):
            return None
        if isinstance(array.dtype, types.Integer | types.Boolean):
            dtypes.append(np.dtype(np.float64))
        elif array.dtype in (types.float32, types.float64):
            dtypes.append(as_dtype(array.dtype))
        else:
            return None
    return np.result_type(*dtypes).type


def _absent(argument):
    """Whether an argument was left at its default or is None."""
    return not isinstance(argument, types.Type) or isinstance(argument, types.Omitted | types.NoneType)


def _is_mask(where):
    return _absent(where) or (isinstance(where, types.Array) and isinstance(where.dtype, types.Boolean))


def _reader(array, dtype):
    """A jitted function from an array of this Numba type to the C-contiguous matrix that kernels take."""
    if array.dtype == from_dtype(np.dtype(dtype)):
        clean = jitable(lambda array: np.ascontiguousarray(array))
    else:
        clean = jitable(lambda array: np.ascontiguousarray(array).astype(dtype))
    if array.ndim == 1:
        return jitable(lambda array: clean(array).reshape((1, array.shape[0])))
    return clean


def _hider(where):
    """A jitted function: rows, a copy of logits' or the result, with the value where `where` is False."""
    if _absent(where):
        return jitable(lambda rows, where, logits, value: rows)
    read = _reader(where, np.bool_)

    @jitable
    def hide(rows, where, logits, value):
        if where.shape != logits.shape:
            raise ValueError("where must have the shape of logits in @njit code")
        out = np.empty_like(rows)
        kernels.hide(rows.reshape(-1), read(where).reshape(-1), value, out.reshape(-1), 0)
        return out

    return hide


def _distribution_reader(targets, dtype, ignore_index):
    read, ignores = _reader(targets, dtype), not _absent(ignore_index)

    @jitable
    def read_distributions(targets, rows, ignore_index):
        matrix = read(targets)
        if matrix.shape != rows.shape:
            raise ValueError("targets must have the shape of logits, or one label for each row")
        if ignores and ignore_index >= 0:
            raise ValueError("ignore_index must be None or negative where targets are distributions")
        return np.empty(0, np.int64), matrix

    return read_distributions


def _label_reader(targets, ignore_index):
    ignores = not _absent(ignore_index)
    if not isinstance(targets, types.Array):
        as_array = jitable(lambda targets: np.array([targets], np.int64))
    else:
        as_array = jitable(lambda targets: targets.astype(np.int64))

    @jitable
    def read_labels(targets, rows, ignore_index):
        labels = as_array(targets)
        if labels.shape[0] != rows.shape[0]:
            raise ValueError("targets must have one label for each row of logits")
        if kernels.first_bad_label(labels, rows.shape[1], np.int64(ignore_index if ignores else 0), ignores) >= 0:
            raise ValueError("targets must be classes, 0 to the number of columns of logits - 1")
        if ignores:
            labels[labels == ignore_index] = -1
        return labels, np.empty((0, rows.shape[1]), rows.dtype)

    return read_labels


def _weight_reader(weight, dtype, mean):
    if _absent(weight):
        return jitable(lambda weight, length: np.empty(0, dtype))

    @jitable
    def read_weight(weight, length):
        if weight.shape[0] != length:
            raise ValueError("sample_weight must have one entry for each row of logits, class_weight for each column")
        cast = np.ascontiguousarray(weight).astype(dtype)
        if not np.all((cast >= 0) & (cast < np.inf)):
            raise ValueError("sample_weight and class_weight must be finite and at least 0")
        if mean and length > 0 and not np.any(cast > 0):
            raise ValueError('sample_weight and class_weight must not be all zero with reduction="mean"')
        return cast

    return read_weight


def _row_values(array):
    """From one value a row to what the caller gets: a scalar for a 1-D array."""
    dtype = _float_of(array)
    if array.ndim == 1:
        return jitable(lambda values, scale: dtype(values[0]))
    return jitable(lambda values, scale: values.astype(dtype))


def _summed(dtype):
    return jitable(lambda values, scale: dtype(kernels.sum_row(values) * scale))


@jitable
def _one_over_weight(taking_part):
    present, total = taking_part
    if present > 0 and total == 0.0:
        raise ValueError('the weights of the rows that take part must not sum to zero with reduction="mean"')
    return 1.0 / total if present > 0 else np.nan


@jitable
def _check_last_axis(axis, ndim):
    if axis != -1 and axis != ndim - 1:
        raise ValueError("axis must be the last one in @njit code")
