"""The words of every error of the functions: what is at fault, what it is, and what it must be."""

import numpy as np
import pytest
from helpers import JIT, locked
from scipy.sparse import coo_array, csr_array

import fastsoftmax as fs

pytestmark = pytest.mark.skipif(not JIT, reason="the same words without the JIT, one by one and slowly")

Z = np.arange(6.0).reshape(2, 3)
X, WEIGHT, BIAS = np.ones((2, 4)), np.ones((3, 4)), np.zeros(3)
REAL = "must hold real numbers (float16, 32 or 64, integers or bool), got"
NO_LABELS = "targets are distributions, not labels (a sample_weight of 0 leaves a row out)"
SUM_TO_ZERO = 'the weights of the rows that take part must not sum to zero with reduction="mean"'


def broken(**parts):
    """A CSR matrix whose parts are replaced behind SciPy's back."""
    matrix = csr_array(np.eye(2, 4))
    for name, part in parts.items():
        setattr(matrix, name, np.asarray(part))
    return matrix


def wide():
    matrix = csr_array((1, 1))
    matrix._shape = (1, 2**31)
    return matrix


def overlapping_itself():
    return np.lib.stride_tricks.as_strided(np.zeros(9), (2, 3), (16, 8))


class Unreadable:
    """As torch has it for a tensor that needs a gradient, or is on a GPU."""

    shape = (2, 3)

    def __init__(self, error):
        self.error = error

    def __array__(self, dtype=None, copy=None):
        raise self.error


BUFFER, LINE = np.zeros((3, 3)), np.zeros(5)
ARRAYS = {
    f"logits {REAL} complex128": lambda: fs.softmax(Z + 1j),
    f"logits {REAL} {np.dtype(np.longdouble)}": lambda: fs.softmax(Z.astype(np.longdouble)),
    f"tangent {REAL} <U1": lambda: fs.softmax_jvp(Z, [["a", "b"]]),
    "logits must not be a masked array: hand in its data, and ~mask as where= if the call has it": lambda: fs.softmax(
        np.ma.array(Z)
    ),
    "where must not be a masked array: hand in where.filled(False)": lambda: fs.softmax(Z, where=np.ma.array(Z > 1)),
    "logits must be dense, got a sparse csr_array: hand in logits.toarray()": lambda: fs.softmax(csr_array(Z)),
    "logits must be an array: use detach()": lambda: fs.softmax(Unreadable(RuntimeError("use detach()"))),
    "tangent must be an array: use cpu()": lambda: fs.softmax_jvp(Z, Unreadable(TypeError("use cpu()"))),
    "tangent must have shape (2, 3), got (3, 2)": lambda: fs.softmax_jvp(Z, Z.T),
    "out must be a NumPy array, got list": lambda: fs.softmax(Z, out=[[0.0] * 3] * 2),
    "out must have shape (2, 3), got (3, 2)": lambda: fs.softmax(Z, out=np.empty((3, 2))),
    "out must have dtype float64, got float32": lambda: fs.softmax(Z, out=np.empty((2, 3), np.float32)),
    "out must be writable, got a read-only array": lambda: fs.softmax(Z, out=locked(Z)),
    "out must not overlap itself": lambda: fs.softmax(Z, out=overlapping_itself()),
    "out must not partly overlap logits": lambda: fs.softmax(BUFFER[:2], out=BUFFER[1:]),
    "out must not partly overlap cotangent": lambda: fs.softmax_vjp(Z, BUFFER[:2], out=BUFFER[1:]),
    "axis must be an integer, a tuple of integers or None, got 1.0": lambda: fs.softmax(Z, 1.0),
    "axis must be an integer, a tuple of integers or None, got True": lambda: fs.softmax(Z, True),
    "axis must be an integer, a tuple of integers or None, got (0, False)": lambda: fs.softmax_jvp(Z, Z, (0, False)),
    "axis must be an integer, a tuple of integers or None, got 'rows'": lambda: fs.softmax(Z, "rows"),
    "axis 2 is out of bounds for array of dimension 2": lambda: fs.softmax(Z, 2),
    "axis -3 is out of bounds for array of dimension 2": lambda: fs.softmax(Z, -3),
    "axis 1 is out of bounds for array of dimension 0": lambda: fs.softmax(1.0, 1),
    "axis must not name one axis twice, got (0, -2)": lambda: fs.softmax(Z, (0, -2)),
    "keepdims must be True or False, got 'no'": lambda: fs.logsumexp(Z, keepdims="no"),
    "where must hold bool, got int64": lambda: fs.softmax(Z, where=[[1, 0, 1]]),
    "where must broadcast to shape (2, 3), got (2,)": lambda: fs.softmax(Z, where=[True, False]),
}
LOSSES = {
    "targets must have shape (2,), got (3,)": lambda: fs.cross_entropy(Z, [0, 1, 2]),
    "targets must have shape (2, 3), got (2, 2)": lambda: fs.cross_entropy(Z, [[0.5, 0.5]] * 2),
    "targets[1] = 3 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z, [0, 3]),
    "targets[0] = -1 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z, [-1, 0]),
    "targets[1] = 1.5 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z, [0.0, 1.5]),
    "targets[0] = nan is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z, [np.nan, 0]),
    "targets[0] = 1e+19 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z, [1e19, 0]),
    f"targets[1] = {2**63} is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(
        Z, np.array([0, 2**63], np.uint64)
    ),
    "targets[1, 0] = 7 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(
        np.zeros((2, 1, 3)), [[0], [7]]
    ),
    "targets = 3 is not a class: logits have 3 classes, 0 to 2": lambda: fs.cross_entropy(Z[0], 3),
    "targets[0] = 0 is not a class: logits have no classes": lambda: fs.cross_entropy(np.empty((1, 0)), [0]),
    f"targets {REAL} complex128": lambda: fs.cross_entropy(Z, [1j, 0]),
    f"sample_weight {REAL} object": lambda: fs.cross_entropy(Z, [0, 1], sample_weight=[None, 1]),
    "sample_weight must have shape (2,), got (3,)": lambda: fs.cross_entropy(Z, [0, 1], sample_weight=[1, 1, 1]),
    "class_weight must have shape (3,), got (2,)": lambda: fs.cross_entropy(Z, [0, 1], class_weight=[1, 1]),
    "sample_weight[1] = -1 is not a weight: it must be finite and at least 0": lambda: fs.cross_entropy(
        Z, [0, 1], sample_weight=[1, -1]
    ),
    "sample_weight[0] = nan is not a weight: it must be finite and at least 0": lambda: fs.squared_error(
        Z, [0, 1], sample_weight=[np.nan, 1]
    ),
    "class_weight[2] = inf is not a weight: it must be finite and at least 0": lambda: fs.cross_entropy(
        Z, [0, 1], class_weight=[0, 1, np.inf]
    ),
    "class_weight[0] = 1e+300 is not a weight: it must be finite and at least 0": lambda: fs.cross_entropy(
        Z.astype(np.float32), [0, 1], class_weight=[1e300, 1, 1]
    ),
    'reduction must be "none", "sum" or "mean", got \'median\'': lambda: fs.cross_entropy(
        Z, [0, 1], reduction="median"
    ),
    'sample_weight must not be all zero with reduction="mean"': lambda: fs.cross_entropy(
        Z, [0, 1], sample_weight=[0, 0]
    ),
    'class_weight must not be all zero with reduction="mean"': lambda: fs.squared_error(
        Z, [0, 1], class_weight=[0, 0, 0]
    ),
    SUM_TO_ZERO: lambda: fs.cross_entropy(Z, [0, 1], class_weight=[0, 0, 1]),
    f"{SUM_TO_ZERO} ": lambda: fs.cross_entropy(Z, [0, 1], sample_weight=[0, 1], ignore_index=1),
    "out must not partly overlap targets": lambda: fs.cross_entropy_value_and_grad(Z, BUFFER[:2], out=BUFFER[1:]),
    "ignore_index must be an integer, got True": lambda: fs.cross_entropy(Z, [0, 1], ignore_index=True),
    "ignore_index must be an integer, got 0.0": lambda: fs.cross_entropy(Z, [0, 1], ignore_index=0.0),
    "ignore_index must be an integer, got 0.5": lambda: fs.cross_entropy(Z, Z, ignore_index=0.5),
    f"ignore_index must be None or negative, got 0: {NO_LABELS}": lambda: fs.cross_entropy(Z, Z, ignore_index=0),
    f"ignore_index must be None or negative, got 2: {NO_LABELS}": lambda: fs.squared_error_value_and_grad(
        Z, Z.astype(int), ignore_index=2
    ),
    "logits must have shape (n_samples, n_classes), got ()": lambda: fs.cross_entropy(1.0, 0),
    "raw must have shape (n_samples, n_classes), got (3,)": lambda: fs.softmax_grad_hess(Z[0], 0),
}
GRADS = fs.LinearGrads(np.empty((3, 4)), np.empty(3))
linear = fs.linear_cross_entropy_value_and_grad
LAYERS = {
    "with_grad_X must be True or False, got 'yes'": lambda: fs.dense_vjp(X, WEIGHT, Z, with_grad_X="yes"),
    "with_grad_X must be True or False, got None": lambda: linear(X, WEIGHT, BIAS, [0, 1], with_grad_X=None),
    f"ignore_index must be None or negative, got 1: {NO_LABELS}": lambda: linear(X, WEIGHT, BIAS, Z, ignore_index=1),
    "weight must be an array: use detach()": lambda: fs.dense(X, Unreadable(RuntimeError("use detach()"))),
    "X must have shape (n_samples, n_features), got (4,)": lambda: fs.dense(X[0], WEIGHT),
    "weight must have shape (n_classes, n_features), got (4,)": lambda: fs.dense(X, WEIGHT[0]),
    "X must have shape (n_samples, 5), because weight has shape (3, 5), got (2, 4)": lambda: fs.dense(
        X, np.ones((3, 5))
    ),
    "bias must have shape (3,), got (4,)": lambda: fs.dense(X, WEIGHT, np.zeros(4)),
    f"X {REAL} complex128": lambda: fs.dense(X + 1j, WEIGHT),
    f"weight {REAL} complex128": lambda: fs.dense(X, WEIGHT + 1j),
    "out must not partly overlap X": lambda: fs.dense(BUFFER[:2], np.ones((3, 3)), out=BUFFER[1:]),
    "out must not partly overlap weight": lambda: fs.dense(np.ones((2, 3)), BUFFER, out=BUFFER[:2, ::-1]),
    f"bias {REAL} complex128": lambda: fs.dense(X, WEIGHT, BIAS + 1j),
    f"cotangent {REAL} complex128": lambda: fs.dense_vjp(X, WEIGHT, Z + 1j),
    "cotangent must have shape (2, 3), got (2, 4)": lambda: fs.dense_vjp(X, WEIGHT, X),
    "out must have shape (2, 3), got (2, 4)": lambda: fs.dense(X, WEIGHT, out=np.empty((2, 4))),
    "out must be a LinearGrads, got tuple": lambda: linear(X, WEIGHT, BIAS, [0, 1], out=(None, None, None)),
    "out.weight must have shape (3, 4), got (4, 3)": lambda: linear(
        X, WEIGHT, BIAS, [0, 1], out=fs.LinearGrads(np.empty((4, 3)), None)
    ),
    "out.bias must have shape (3,), got (2,)": lambda: linear(
        X, WEIGHT, BIAS, [0, 1], out=fs.LinearGrads(None, np.empty(2))
    ),
    "out.X must have shape (2, 4), got (4,)": lambda: linear(
        X, WEIGHT, BIAS, [0, 1], with_grad_X=True, out=fs.LinearGrads(None, None, np.empty(4))
    ),
    "out.bias must be None where bias is": lambda: linear(X, WEIGHT, None, [0, 1], out=GRADS),
    "out.X must be None unless with_grad_X is True": lambda: linear(
        X, WEIGHT, BIAS, [0, 1], out=fs.LinearGrads(None, None, np.empty((2, 4)))
    ),
    "the arrays of out must not overlap one another": lambda: linear(
        X, WEIGHT, BIAS, [0, 1], out=fs.LinearGrads(BUFFER2 := np.empty((3, 4)), BUFFER2[0, :3])
    ),
    f"targets {REAL} complex128 ": lambda: linear(X, WEIGHT, BIAS, [0j, 1]),
    "out.weight must not partly overlap targets": lambda: linear(
        np.ones((2, 3)), np.ones((3, 3)), None, BUFFER[:2], out=fs.LinearGrads(BUFFER[::-1], None)
    ),
    "bias_tangent must be None where bias is": lambda: fs.linear_cross_entropy_hvp(
        X, WEIGHT, None, [0, 1], WEIGHT, BIAS
    ),
    f"weight_tangent {REAL} complex128": lambda: fs.linear_cross_entropy_hvp(
        X, WEIGHT, BIAS, [0, 1], WEIGHT + 1j, BIAS
    ),
    "weight_tangent must have shape (3, 4), got (3,)": lambda: fs.linear_cross_entropy_hvp(
        X, WEIGHT, BIAS, [0, 1], BIAS, BIAS
    ),
    "bias_tangent must have shape (3,), got (3, 4)": lambda: fs.linear_squared_error_hvp(
        X, WEIGHT, BIAS, [0, 1], WEIGHT, WEIGHT
    ),
    "probs must have shape (2, 3), got (2, 4)": lambda: fs.linear_cross_entropy_hvp(
        X, WEIGHT, BIAS, [0, 1], WEIGHT, BIAS, probs=X
    ),
    "weight must have at least one row, a class, got none": lambda: fs.linear_argmax(X, np.empty((0, 4))),
}
CSR = {
    "X must be an array or in CSR format, got coo: hand in X.tocsr()": lambda: fs.dense(coo_array(X), WEIGHT),
    **{
        f"X is not a CSR matrix: X.indptr must rise from 0 to the number of its elements{' ' * k}": (
            lambda indptr=indptr: fs.dense(broken(indptr=indptr), WEIGHT)
        )
        for k, indptr in enumerate(([1, 1, 2], [0, 2, 1], [0, 1, 3], [0, 2], [0, -1, 2]))
    },
    f"X must have at most {2**31 - 1} columns, got {2**31}": lambda: fs.dense(wide(), WEIGHT),
    "out must not partly overlap X.data": lambda: fs.dense(
        broken(data=LINE[:2]), np.ones((2, 4)), out=LINE[1:].reshape(2, 2)
    ),
    "X is not a CSR matrix: X.data has 1 elements of 2": lambda: fs.dense(broken(data=[1.0]), WEIGHT),
    f"X.data {REAL} complex128": lambda: fs.dense(broken(data=[1j, 2j]), WEIGHT),
    "X is not a CSR matrix: X.indices[1] = 4 is not a column, 0 to 3": lambda: fs.dense(broken(indices=[0, 4]), WEIGHT),
    "X is not a CSR matrix: X.indices[0] = -1 is not a column, 0 to 3": lambda: fs.dense(
        broken(indices=[-1, 4]), WEIGHT
    ),
    f"X is not a CSR matrix: X.indices[1] = {2**32} is not a column, 0 to 3": lambda: fs.dense(
        broken(indices=np.array([0, 2**32])), WEIGHT
    ),
    "X is not a CSR matrix: X.indices[0] = 0 is not a column: there are none": lambda: fs.dense(
        no_columns(), np.ones((3, 0))
    ),
}


def no_columns():
    matrix = broken()
    matrix._shape = (2, 0)
    return matrix


@pytest.mark.parametrize("text", [*ARRAYS, *LOSSES, *LAYERS, *CSR])
def test_words(text):
    call = {**ARRAYS, **LOSSES, **LAYERS, **CSR}[text]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == text.rstrip()
    kind = TypeError if " must hold " in text or "must be an integer" in text or "axis must be an" in text else None
    if kind is not None:
        assert isinstance(caught.value, kind)
