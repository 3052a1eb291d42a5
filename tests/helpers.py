"""Tolerances from the dtype and the length of a row, the nasty arrays, the layouts, and a numerical derivative."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numba
import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.exceptions import ConvergenceWarning

import fastsoftmax as fs

JIT = not numba.config.DISABLE_JIT
EMULATED = "ARM64_QEMU_CPU" in os.environ  # by .ci/arm64.sh
FLOATS = (np.float32, np.float64)
SHAPES = [(1, 1), (1, 2), (3, 10), (130, 10), (7, 37), (5, 512), (2, 513), (3, 1500)]  # one row, short rows in several
# blocks, odd lengths, and the border of CHUNK, above which a row is summed in pieces
SHAPES = SHAPES if JIT else [(1, 1), (3, 10), (2, 513)]
PRODUCTS = ("softmax_jvp", "softmax_vjp", "log_softmax_jvp", "log_softmax_vjp")


def tolerance(dtype: Any, length: int) -> float:
    """Relative error to allow in a result made of `length` rounded terms of order one."""
    return float(np.finfo(dtype).eps) * (16 + 2 * np.sqrt(length))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def uneven(shape: tuple[int, ...], dtype: Any = np.float64, seed: int = 0) -> np.ndarray:
    """Random logits whose rows differ in scale and offset, so that rows mixed up would show."""
    random = rng(seed)
    scale = 10 ** random.uniform(-2, 1.5, (*shape[:-1], 1))
    return (random.standard_normal(shape) * scale + 20 * random.standard_normal((*shape[:-1], 1))).astype(dtype)


def point(product: str, logits: np.ndarray) -> np.ndarray:
    """What a product is taken at: probs, or log_probs."""
    return fs.softmax(logits) if product.startswith("softmax") else fs.log_softmax(logits)


def nasty_rows() -> dict[str, list[float]]:
    """Rows with what breaks careless code; test_softmax.py says what comes of each."""
    nan, inf = np.nan, np.inf
    return {
        "large": [1e4, 0.0, -1e4],
        "equal": [3.0, 3.0, 3.0],
        "nan": [0.0, nan, 1.0],
        "plus_inf": [0.0, inf, 1.0],
        "two_plus_inf": [inf, inf, 1.0],
        "all_minus_inf": [-inf, -inf, -inf],
        "some_minus_inf": [0.0, -inf, 1.0],
        "inf_and_nan": [inf, nan, 0.0],
        "subnormal": [1e-310, -1e-310, 0.0],
        "tiny_apart": [0.0, -90.0, -100.0],
        "huge": [3e38, 3e38, -3e38],
    }


def layouts(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The same values in every layout that NumPy has."""
    yield "F order", np.asfortranarray(array)
    yield "negative strides", array[::-1, ::-1].copy()[::-1, ::-1]
    yield "every other", np.repeat(np.repeat(array, 2, axis=0), 2, axis=1)[::2, ::2]
    yield "big-endian", array.astype(array.dtype.newbyteorder(">"))
    buffer = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    buffer[:] = array
    yield "misaligned", buffer
    yield "read-only", locked(array)
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, shape=array.shape)
    mapped[:] = array
    yield "memmap", mapped
    yield "list", array.tolist() if array.dtype == np.float64 else array


def same_bits(a: Any, b: Any) -> bool:
    """Equal shape, dtype and bits; NaN equals NaN."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def all_same_bits(some: Iterable[Any], others: Iterable[Any]) -> bool:
    """Whether that is so of each pair; None is the same as None."""
    return all(a is b is None or same_bits(a, b) for a, b in zip(some, others, strict=True))


def locked(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written."""
    array = array.copy()
    array.flags.writeable = False
    return array


def derivative(function: Callable[[np.ndarray], Any], x: np.ndarray, direction: np.ndarray, h: float = 1e-3) -> Any:
    """Directional derivative of fourth order: the error is about h^4 times the fifth derivative."""
    return (
        8 * (function(x + h * direction) - function(x - h * direction))
        - (function(x + 2 * h * direction) - function(x - 2 * h * direction))
    ) / (12 * h)


def quiet(model: Any, *data: Any, **more: Any) -> Any:
    """The fitted classifier, whether it has converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **more)


def parameters(model: Any) -> list[np.ndarray]:
    """Weights and biases of all layers of a classifier."""
    return [*model.coefs_, *model.intercepts_]


def same_parameters(a: Any, b: Any) -> bool:
    """Whether two classifiers have the same bits."""
    return all(same_bits(p, q) for p, q in zip(parameters(a), parameters(b), strict=True))


def public_calls(
    dtype: Any = np.float64, n_rows: int = 40, n_classes: int = 5
) -> dict[str, tuple[Any, dict[str, Any]]]:
    """A call of each public function: the function, and all of its arguments that are arrays, by name.

    None of ours is called: tests are found by these names, before anything is compiled.
    """
    logits, X = uneven((n_rows, n_classes), dtype), uneven((n_rows, 7), dtype, seed=1)
    probs, log_probs = (oracle(np.float64(logits), axis=-1).astype(dtype) for oracle in (softmax, log_softmax))
    vector, labels = uneven(logits.shape, dtype, seed=2), np.arange(n_rows) % n_classes
    where = rng().random(logits.shape) < 0.8
    weight, bias = uneven((n_classes, 7), dtype, seed=3) / 10, np.linspace(0, 1, n_classes, dtype=dtype)
    weights = {"sample_weight": rng().random(n_rows), "class_weight": rng(1).random(n_classes).astype(dtype)}
    layer, tangents = {"X": X, "weight": weight, "bias": bias}, {"weight_tangent": weight + 1, "bias_tangent": bias}
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        "softmax": (fs.softmax, {"logits": logits, "where": where}),
        "log_softmax": (fs.log_softmax, {"logits": logits, "where": where}),
        "logsumexp": (fs.logsumexp, {"logits": logits, "where": where}),
        "softmax_jvp": (fs.softmax_jvp, {"probs": probs, "tangent": vector}),
        "softmax_vjp": (fs.softmax_vjp, {"probs": probs, "cotangent": vector}),
        "log_softmax_jvp": (fs.log_softmax_jvp, {"log_probs": log_probs, "tangent": vector}),
        "log_softmax_vjp": (fs.log_softmax_vjp, {"log_probs": log_probs, "cotangent": vector}),
        "softmax_grad_hess": (
            fs.softmax_grad_hess,
            {"raw": logits, "targets": labels, "sample_weight": np.ones(n_rows)},
        ),
        "fit_temperature": (fs.fit_temperature, {"logits": logits, "targets": probs, "sample_weight": np.ones(n_rows)}),
        "dense": (fs.dense, layer),
        "linear_softmax": (fs.linear_softmax, layer),
        "linear_log_softmax": (fs.linear_log_softmax, layer),
        "linear_argmax": (fs.linear_argmax, layer),
        "dense_vjp": (fs.dense_vjp, {"X": X, "weight": weight, "cotangent": vector}),
    }
    for loss in ("cross_entropy", "squared_error"):
        for kind, targets in (("labels", labels), ("soft", probs)):
            for suffix in ("", "_value_and_grad"):
                on_logits = {"logits": logits, "targets": targets, **weights}
                calls[f"{loss}{suffix} {kind}"] = getattr(fs, loss + suffix), on_logits
                on_layer = {**layer, "targets": targets, **weights}
                calls[f"linear_{loss}{suffix} {kind}"] = getattr(fs, f"linear_{loss}{suffix}"), on_layer
            hvp = {**layer, "targets": targets, **tangents, "probs": probs, **weights}
            calls[f"linear_{loss}_hvp {kind}"] = getattr(fs, f"linear_{loss}_hvp"), hvp
    return calls


def flat(result: Any) -> list[np.ndarray]:
    """All arrays and numbers of a result, which may be a tuple of tuples."""
    if isinstance(result, tuple):
        return [array for item in result if item is not None for array in flat(item)]
    return [np.asarray(result)]
