"""What is measured: operations, shapes and dtypes; and who does it: the providers, each at its best settings.

A provider is a function from a case to a call without arguments, or to None where it has no such operation. Arrays are
made in the provider's own form before, so that the call is the work alone; its result is checked before it is timed.
All providers run on one thread (conftest.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.special
from sklearn._loss import HalfMultinomialLoss
from sklearn.utils import extmath

import fastsoftmax as fs

SHAPES = [(1, 10), (32, 10), (1797, 10), (256, 100), (128, 1000), (4096, 1000)]
DENSE_SHAPES = [(32, 64, 10), (1797, 64, 10), (2048, 128, 100)]
DTYPES = ["float32", "float64"]
ROW_OPERATIONS = ["softmax", "log_softmax", "logsumexp", "softmax_vjp", "cross_entropy_value_and_grad"]
JACOBIAN_LIMIT = 2**26  # entries of the naive way's Jacobians

Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One operation on arrays of one shape, (N, C) or (N, D, C), and dtype."""

    operation: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The arguments, the same for every provider: uneven random data."""
        return _inputs(self.operation, self.shape, self.dtype)

    @property
    def expected(self) -> list[np.ndarray]:
        """The right answer, by plain NumPy in float64."""
        wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in self.inputs.items()}
        return as_arrays(NUMPY[self.operation](**wide))

    @property
    def n_bytes(self) -> int:
        """What must be read and written at the least."""
        return (
            sum(a.nbytes for a in self.inputs.values())
            + sum(a.size for a in self.expected) * np.dtype(self.dtype).itemsize
        )


@cache
def _inputs(operation: str, shape: tuple[int, ...], dtype: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(shape)
    if operation == "dense_vjp":
        n_samples, n_features, n_classes = shape
        shapes = {"X": (n_samples, n_features), "weight": (n_classes, n_features), "cotangent": (n_samples, n_classes)}
        return {name: rng.standard_normal(s).astype(dtype) for name, s in shapes.items()}
    logits = (rng.standard_normal(shape) * 3 + rng.standard_normal((shape[0], 1))).astype(dtype)
    if operation == "softmax_vjp":
        return {"probs": scipy.special.softmax(logits, axis=1), "cotangent": rng.standard_normal(shape).astype(dtype)}
    if operation == "cross_entropy_value_and_grad":
        return {"logits": logits, "targets": rng.integers(0, shape[1], shape[0])}
    return {"logits": logits}


def as_arrays(result: Any) -> list[np.ndarray]:
    """One result or several, of any library, as NumPy arrays."""
    return [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]


# The formulas in plain NumPy


def _numpy_softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _numpy_log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _numpy_logsumexp(logits: np.ndarray) -> np.ndarray:
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1))


def _numpy_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> tuple[Any, np.ndarray]:
    every = np.arange(len(logits))
    log_probs = _numpy_log_softmax(logits)
    grad = np.exp(log_probs)
    grad[every, targets] -= 1
    grad /= len(logits)
    return -log_probs[every, targets].mean(), grad


NUMPY: dict[str, Callable[..., Any]] = {
    "softmax": _numpy_softmax,
    "log_softmax": _numpy_log_softmax,
    "logsumexp": _numpy_logsumexp,
    "softmax_vjp": lambda probs, cotangent: probs * (cotangent - (probs * cotangent).sum(axis=1, keepdims=True)),
    "cross_entropy_value_and_grad": _numpy_cross_entropy,
    "dense_vjp": lambda X, weight, cotangent: (cotangent @ weight, cotangent.T @ X, cotangent.sum(axis=0)),
}


# The providers


def with_numpy(case: Case) -> Call | None:
    return partial(NUMPY[case.operation], **case.inputs)


def with_jacobian(case: Case) -> Call | None:
    """The naive way: fastsoftmax.reference, which builds the Jacobians."""
    naive = case.operation in ("softmax_vjp", "cross_entropy_value_and_grad")
    if not naive or case.shape[0] * case.shape[1] ** 2 > JACOBIAN_LIMIT:
        return None
    return partial(getattr(fs.reference, case.operation), **case.inputs)


def with_scipy(case: Case) -> Call | None:
    if case.operation not in ("softmax", "log_softmax", "logsumexp"):
        return None
    return partial(getattr(scipy.special, case.operation), case.inputs["logits"], axis=1)


def with_sklearn(case: Case) -> Call | None:
    if case.operation == "softmax":
        return partial(extmath.softmax, case.inputs["logits"])
    if case.operation != "cross_entropy_value_and_grad":
        return None
    logits, targets = case.inputs.values()
    loss, labels = HalfMultinomialLoss(n_classes=case.shape[1]), targets.astype(case.dtype)
    losses, grad = np.empty(len(logits), logits.dtype), np.empty_like(logits)

    def call() -> tuple[Any, np.ndarray]:
        loss.loss_gradient(labels, logits, loss_out=losses, gradient_out=grad)
        np.divide(grad, len(grad), out=grad)
        return losses.mean(), grad

    return call


def with_fastsoftmax(case: Case) -> Call | None:
    function = getattr(fs, case.operation)
    if case.operation in ("logsumexp", "dense_vjp"):
        return partial(function, **case.inputs)
    return partial(function, **case.inputs, out=np.empty(case.shape, case.dtype))


def with_torch(case: Case) -> Call | None:
    import torch

    tensors = {name: torch.from_numpy(a) for name, a in case.inputs.items()}
    if case.operation in ("softmax", "log_softmax"):
        out = torch.empty(case.shape, dtype=getattr(torch, case.dtype))
        return partial(getattr(torch, case.operation), tensors["logits"], 1, out=out)
    if case.operation == "logsumexp":
        return partial(torch.logsumexp, tensors["logits"], 1)
    if case.operation == "softmax_vjp":
        kind = getattr(torch, case.dtype)
        return partial(torch._softmax_backward_data, tensors["cotangent"], tensors["probs"], 1, kind)
    if case.operation == "dense_vjp":
        X, weight, cotangent = tensors.values()
        return lambda: (cotangent @ weight, cotangent.T @ X, cotangent.sum(0))
    logits = tensors["logits"].requires_grad_()

    def call() -> tuple[Any, Any]:
        loss = torch.nn.functional.cross_entropy(logits, tensors["targets"])
        return loss.detach(), torch.autograd.grad(loss, logits)[0]

    return call


def with_jax(case: Case) -> Call | None:
    import jax

    jax.config.update("jax_enable_x64", True)
    functions: dict[str, Callable[..., Any]] = {
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "logsumexp": partial(jax.nn.logsumexp, axis=1),
        "softmax_vjp": NUMPY["softmax_vjp"],
        "cross_entropy_value_and_grad": jax.value_and_grad(
            lambda logits, targets: -jax.nn.log_softmax(logits)[jax.numpy.arange(len(logits)), targets].mean()
        ),
        "dense_vjp": NUMPY["dense_vjp"],
    }
    function = jax.jit(functions[case.operation])
    arrays = [jax.numpy.asarray(a) for a in case.inputs.values()]
    return lambda: jax.block_until_ready(function(*arrays))


PROVIDERS: dict[str, Callable[[Case], Call | None]] = {
    "jacobian": with_jacobian,
    "numpy": with_numpy,
    "scipy": with_scipy,
    "sklearn": with_sklearn,
    "torch": with_torch,
    "jax": with_jax,
    "fastsoftmax": with_fastsoftmax,
}


def installed() -> list[str]:
    """The providers that can run here: torch and JAX are optional."""
    return [name for name in PROVIDERS if name not in ("torch", "jax") or find_spec(name)]
