"""Hashes of results, which every CPU with fused multiply-adds must give: `python tests/bits.py` prints them as JSON.

bits.json holds what they are. After a change that is meant to change bits: `python tests/bits.py > tests/bits.json`.
With arguments it makes some groups alone ("33x10 float32" "layer 53x33x10 float32"), for a machine that is slow, or the
fits by each solver ("fits float32" "fits float64"), which no file holds: LAPACK and NumPy, which have a part in them,
give other bits on other machines.
The inputs are made of integers, so that they are the same everywhere: no function of the C library takes part.
"""

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from helpers import flat

import fastsoftmax as fs

EXPECTED = Path(__file__).with_suffix(".json")
DTYPES = ("float32", "float64")
ROWS = [
    (1, 1),
    (37, 2),
    (35, 3),
    (34, 7),
    (33, 10),
    (20, 16),
    (19, 17),
    (21, 26),
    (18, 37),
    (5, 100),
    (3, 1000),
    (2, 4099),
]
BLOCKS = [(3, 5, 7), (2, 40, 33)]  # along the middle axis
LAYERS = [
    (50, 7, 3),
    (53, 33, 10),
    (49, 130, 26),
    (101, 64, 100),
    (20, 1100, 17),
    (9, 300, 1000),
    (49, 512, 44),
]  # N, D, C


def mixed(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers from -1 up to 1, multiples of 2^-24, by the mixing function of SplitMix64 (Steele et al. 2014)."""
    z = (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(1000003 * seed)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return ((z >> np.uint64(39)).astype(np.float64) / 2.0**24 - 1).reshape(shape)


def groups() -> dict[str, Callable[[], dict[str, Any]]]:
    """What makes the results of each shape and dtype, by name."""
    found: dict[str, Callable[[], dict[str, Any]]] = {}
    for dtype in DTYPES:
        for shape in ROWS + BLOCKS:
            found[f"{'x'.join(map(str, shape))} {dtype}"] = partial(_row_results, shape, dtype)
        for layer in LAYERS:
            found[f"layer {'x'.join(map(str, layer))} {dtype}"] = partial(_layer_results, *layer, dtype)
        found[f"epochs {dtype}"] = partial(_epochs, dtype)
    return found


def _row_results(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    axis = 1 if len(shape) == 3 else -1
    logits, vector = (mixed(shape, 1) * 9).astype(dtype), mixed(shape, 2).astype(dtype)
    logits[0] *= 12  # exp down to subnormal numbers
    where = mixed(shape, 3) < 0.5
    probs, log_probs = fs.softmax(logits, axis), fs.log_softmax(logits, axis)
    found = {
        "softmax": probs,
        "log_softmax": log_probs,
        "logsumexp": fs.logsumexp(logits, axis),
        "softmax where": fs.softmax(logits, axis, where=where),
        "log_softmax where": fs.log_softmax(logits, axis, where=where),
        "logsumexp where": fs.logsumexp(logits, axis, where=where),
        "softmax temperature": fs.softmax(logits, axis, temperature=1.7),
        "softmax_jvp": fs.softmax_jvp(probs, vector, axis),
        "log_softmax_jvp": fs.log_softmax_jvp(log_probs, vector, axis),
        "log_softmax_vjp": fs.log_softmax_vjp(log_probs, vector, axis),
    }
    if len(shape) == 2:
        for kind, targets, weights in _targets(*shape, dtype):
            for loss in ("cross_entropy", "squared_error"):
                value_and_grad = getattr(fs, f"{loss}_value_and_grad")
                found[f"{loss} {kind}"] = value_and_grad(logits, targets, **weights)
            if not weights:
                found[f"softmax_grad_hess {kind}"] = fs.softmax_grad_hess(logits, targets)
    return found


def _targets(n_rows: int, n_classes: int, dtype: str) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    labels, soft = np.arange(n_rows) * 7 % n_classes, np.abs(mixed((n_rows, n_classes), 4)).astype(dtype)
    weights = {
        "sample_weight": mixed((n_rows,), 5) + 1.5,
        "class_weight": np.abs(mixed((n_classes,), 6)) + 0.1,
        "label_smoothing": 0.125,
    }
    return [
        ("labels", labels, {}),
        ("labels weighted", labels, weights),
        ("soft", soft, {}),
        ("soft weighted", soft, weights),
    ]


def _layer_results(n_rows: int, n_features: int, n_classes: int, dtype: str) -> dict[str, Any]:
    X, weight = mixed((n_rows, n_features), 7).astype(dtype), mixed((n_classes, n_features), 8).astype(dtype)
    bias, cotangent = mixed((n_classes,), 9).astype(dtype), mixed((n_rows, n_classes), 10).astype(dtype)
    tangents = mixed(weight.shape, 11).astype(dtype), mixed(bias.shape, 12).astype(dtype)
    tiny = np.finfo(dtype).tiny
    found = {
        "dense": fs.dense(X, weight, bias),
        "dense_vjp": fs.dense_vjp(X, weight, cotangent),
        "dense_vjp of products that vanish": fs.dense_vjp(X, weight * tiny, cotangent * tiny),
    }
    sparse = scipy.sparse.csr_matrix(np.where(mixed(X.shape, 13) < -0.5, X, 0))
    for name in ("linear_softmax", "linear_log_softmax"):
        for kind, rows in (("", X), (" CSR", sparse)):
            found[name + kind] = getattr(fs, name)(rows, weight, bias)
    found["linear_softmax temperature"] = fs.linear_softmax(X, weight, bias, temperature=1.7)
    found["linear_argmax"] = fs.linear_argmax(X, weight, bias).astype(dtype)
    for kind, targets, weights in _targets(n_rows, n_classes, dtype):
        for loss in ("cross_entropy", "squared_error"):
            value_and_grad, hvp = getattr(fs, f"linear_{loss}_value_and_grad"), getattr(fs, f"linear_{loss}_hvp")
            found[f"linear_{loss} {kind}"] = value_and_grad(X, weight, bias, targets, with_grad_X=True, **weights)
            found[f"linear_{loss} {kind} CSR"] = value_and_grad(sparse, weight, bias, targets, **weights)
            found[f"linear_{loss}_hvp {kind}"] = hvp(X, weight, bias, targets, *tangents, **weights)
    return found


def _epochs(dtype: str) -> dict[str, Any]:
    X, y = mixed((150, 9), 14).astype(dtype), np.arange(150) % 4
    found = {}
    for solver in ("sgd", "adam"):
        for activation in ("relu", "tanh", "logistic"):
            model = fs.SoftmaxClassifier((13,), activation=activation, solver=solver, batch_size=32, random_state=0)
            model.partial_fit(X, y, classes=range(4))
            found[f"{solver} {activation}"] = tuple(model.partial_fit(X, y).coefs_)
    return found


def _fits(dtype: str) -> dict[str, Any]:
    """Weights and loss of a fit by each solver, of data large enough for several threads."""
    X, y = mixed((3000, 20), 15).astype(dtype), (np.arange(3000) * 7 % 13) % 5
    X[:, 0] += (y == 2) + 2 * (y == 4)
    sparse = scipy.sparse.csr_matrix(np.where(mixed(X.shape, 16) < -0.3, X, 0))
    weights = np.abs(mixed((3000,), 17)) + 0.1
    found = {}
    for solver in ("lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent", "sgd", "adam"):
        for kind, rows in (("", X), (" CSR", sparse)):
            l1 = {"l1_ratio": 0.5} if solver == "coordinate-descent" else {}
            found[solver + kind] = _weights(rows, y, weights, solver=solver, **l1)
    for kind, rows in (("", X), (" CSR", sparse)):
        found[f"lbfgs L1{kind}"] = _weights(rows, y, weights, solver="lbfgs", l1_ratio=1.0)
    for solver in ("lbfgs", "sgd", "adam"):
        found[f"{solver} network"] = _weights(X, y, weights, solver=solver, hidden_layer_sizes=(30,))
    found["lbfgs squared_error"] = _weights(X, y, weights, solver="lbfgs", loss="squared_error")
    return found


def _weights(X: Any, y: Any, weights: Any, **params: Any) -> tuple[Any, ...]:
    model = fs.SoftmaxClassifier(alpha=0.1, max_iter=8, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, weights)
    return *model.coefs_, *model.intercepts_, np.float64(model.loss_)


FITS = {f"fits {dtype}": partial(_fits, dtype) for dtype in DTYPES}


def hashes(wanted: Iterable[str]) -> dict[str, str]:
    """Name of a result -> its hash (dtype, shape, and bytes with every NaN alike), for the groups that are wanted."""
    found = {}
    for group in wanted:
        for name, value in {**groups(), **FITS}[group]().items():
            digest = hashlib.sha256()
            for array in flat(value):
                plain = np.where(np.isnan(array), array.dtype.type(np.nan), array).astype(array.dtype, order="C")
                digest.update(f"{array.dtype.name} {array.shape}".encode() + plain.tobytes())
            found[f"{name} {group}"] = digest.hexdigest()[:16]
    return found


if __name__ == "__main__":
    print(json.dumps(hashes(sys.argv[1:] or groups()), indent=0))
