"""Every public function against the reference in plain NumPy, on data of this machine's own making."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastsoftmax import functional, reference
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import num_threads

SHAPES = (43, 7, 5), (10_007, 7, 5)  # rows, features, classes: for one thread, and enough for several; no multiples
ROUNDINGS = 100  # of numbers of the size of the largest; a sum over 10,007 rows has 8 in float64
FLAT = 1e-3  # of the temperature, whose loss is flat about the minimum, and which the reference looks for on grids


@dataclass(frozen=True)
class Check:
    """A function on one kind of data.

    Attributes
    ----------
    error : the largest difference from the reference, relative to the largest number there; infinite if it raised
    allowed : up to where that is rounding
    message : what was raised
    """

    function: str
    dtype: str
    n_rows: int
    threads: int
    error: float
    allowed: float
    message: str | None = None

    @property
    def is_right(self) -> bool:
        """Whether the result is the reference's up to rounding; NaN is not."""
        return self.error <= self.allowed


def self_test(
    dtypes: Sequence[str], thread_counts: Sequence[int], progress: Callable[[str], None] = lambda line: None
) -> Iterator[Check]:
    """Call every public function in each dtype: on a few rows, and on more with each number of threads.

    Parameters
    ----------
    dtypes : sequence of {"float32", "float64"}
    thread_counts : sequence of int
    progress : callable
        Told what is tested next: what has no machine code yet is compiled first.

    Yields
    ------
    Check
    """
    few, many = SHAPES
    for dtype in dtypes:
        for shape, counts in ((few, (1,)), (many, thread_counts)):
            progress(f"{dtype}, {shape[0]} rows")
            for name, arguments in cases(dtype, *shape):
                expected = getattr(reference, name)(**{key: _wide(value) for key, value in arguments.items()})
                for threads in counts:
                    yield _check(name, dtype, shape[0], threads, arguments, _flat(expected))


def _check(name: str, dtype: str, n_rows: int, threads: int, arguments: dict[str, Any], expected: list[Array]) -> Check:
    allowed = FLAT if name == "fit_temperature" else ROUNDINGS * float(np.finfo(dtype).eps)
    try:
        with num_threads(threads):
            found = _flat(getattr(functional, name)(**arguments))
        error = max(_difference(a, b) for a, b in zip(found, expected, strict=True))
    except Exception as raised:  # a doctor tells of it, whatever it is
        return Check(name, dtype, n_rows, threads, float("inf"), allowed, f"{type(raised).__name__}: {raised}"[:300])
    return Check(name, dtype, n_rows, threads, error, allowed)


def _difference(found: Array, expected: Array) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / max(1e-30, float(np.abs(expected).max())))


def _wide(value: Any) -> Any:
    """In float64, in which the reference's own rounding is next to nothing."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _flat(result: Any) -> list[Array]:
    """All arrays and numbers of a result, which may be a tuple of tuples, in float64."""
    if isinstance(result, tuple):
        return [array for item in result if item is not None for array in _flat(item)]
    return [np.asarray(result, np.float64)]


def cases(dtype: str, n_rows: int, n_features: int, n_classes: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """A call of each public function, by its name: arguments, whose rows differ in scale and offset."""
    random = np.random.default_rng(0)
    scale, offset = 10 ** random.uniform(-2, 1, (n_rows, 1)), 20 * random.standard_normal((n_rows, 1))
    logits = (random.standard_normal((n_rows, n_classes)) * scale + offset).astype(dtype)
    vector, X = random.standard_normal((2, n_rows, n_features)).astype(dtype)
    vector, labels = vector[:, :n_classes].copy(), random.integers(0, n_classes, n_rows)
    weight = random.standard_normal((n_classes, n_features)).astype(dtype)
    layer = {"X": X, "weight": weight, "bias": weight[:, 0].copy()}
    log_probs = reference.log_softmax(logits).astype(dtype)
    probs = np.exp(log_probs)
    for name in ("softmax", "log_softmax", "logsumexp"):
        yield name, {"logits": logits}
    yield "softmax_jvp", {"probs": probs, "tangent": vector}
    yield "softmax_vjp", {"probs": probs, "cotangent": vector}
    yield "log_softmax_jvp", {"log_probs": log_probs, "tangent": vector}
    yield "log_softmax_vjp", {"log_probs": log_probs, "cotangent": vector}
    yield "softmax_grad_hess", {"raw": logits, "targets": labels}
    yield "fit_temperature", {"logits": vector, "targets": np.where(labels % 2, labels, vector.argmax(axis=1))}
    for name in ("dense", "linear_softmax", "linear_log_softmax"):
        yield name, layer
    whole = {name: np.rint(array) for name, array in layer.items()}  # exact: rounding cannot change the largest
    yield "linear_argmax", whole
    yield "dense_vjp", {"X": X, "weight": weight, "cotangent": vector}
    tangents = {"weight_tangent": weight[::-1].copy(), "bias_tangent": weight[:, 1].copy()}
    for loss in ("cross_entropy", "squared_error"):
        for name in (loss, f"{loss}_value_and_grad"):
            yield name, {"logits": logits, "targets": labels}
            yield f"linear_{name}", {**layer, "targets": labels}
        yield f"linear_{loss}_hvp", {**layer, "targets": labels, **tangents}
