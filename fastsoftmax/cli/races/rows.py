"""What is measured: operations, shapes and dtypes; and who does it: the providers, each at its best settings.

A provider is a function from a case and a number of threads to a call without arguments, or to None where it has no
such operation. Arrays are made in the provider's own form before, so that the call is the work alone. A case is (N, C),
along the last axis, or (outer, C, inner), along the middle one.
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
from fastsoftmax.cli.races import formulas

FEW = [(1, 10), (32, 10), (1797, 10), (65536, 10), (1797, 2), (100000, 3), (1797, 26), (1797, 37)]
MEDIUM = [(256, 100), (128, 1000), (4096, 1000), (300, 5000)]
LARGE = [(1024, 32000), (65536, 1000), (64, 128256)]
MIDDLE = [(2, 10, 16), (64, 1000, 49), (1000, 100, 8), (16, 21, 4096)]
SHAPES = FEW + MEDIUM + LARGE + MIDDLE
DENSE_SHAPES = [(32, 64, 10), (1797, 64, 10), (2048, 128, 100)]
DTYPES = ["float32", "float64"]
ALLOCATING = {"softmax (new array)": "softmax", "softmax_vjp (new array)": "softmax_vjp"}
ROW_OPERATIONS = [
    "softmax",
    "log_softmax",
    "logsumexp",
    "softmax_vjp",
    "log_softmax_vjp",
    "cross_entropy_value_and_grad",
    *ALLOCATING,
]
JACOBIAN_LIMIT = 2**26  # entries of the naive way's Jacobians

Call = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One operation on arrays of one shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def operation(self) -> str:
        """The public function."""
        return ALLOCATING.get(self.name, self.name)

    @property
    def allocates(self) -> bool:
        """Whether the call makes a new array for its result, instead of filling one that is at hand."""
        return self.name in ALLOCATING

    @property
    def axis(self) -> int:
        """The axis that the operation goes along."""
        return 1 if len(self.shape) == 3 else -1

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """The arguments, the same for every provider: uneven random data."""
        return _inputs(self.operation, self.shape, self.dtype)

    @property
    def exists(self) -> bool:
        """Whether the operation is defined for such shapes."""
        return len(self.shape) == 2 or self.operation not in ("cross_entropy_value_and_grad", "dense_vjp")

    @property
    def n_bytes(self) -> int:
        """What must be read and written at the least."""
        size = np.dtype(self.dtype).itemsize * int(np.prod(self.shape))
        reads_two, writes_none = self.operation.endswith("_vjp"), self.operation == "logsumexp"
        return size * (2 + reads_two - writes_none)


@cache
def _inputs(operation: str, shape: tuple[int, ...], dtype: str) -> dict[str, np.ndarray]:
    _inputs.cache_clear()  # the last case's arrays may be gigabytes
    rng = np.random.default_rng(shape)
    if operation == "dense_vjp":
        n_samples, n_features, n_classes = shape
        shapes = {"X": (n_samples, n_features), "weight": (n_classes, n_features), "cotangent": (n_samples, n_classes)}
        return {name: rng.standard_normal(s).astype(dtype) for name, s in shapes.items()}
    axis = 1 if len(shape) == 3 else -1
    logits = rng.standard_normal(shape, np.dtype(dtype)) * np.dtype(dtype).type(3)
    if operation.endswith("_vjp"):
        at = "log_probs" if operation.startswith("log") else "probs"
        function = formulas.log_softmax if at == "log_probs" else formulas.softmax
        return {at: function(logits, axis), "cotangent": rng.standard_normal(shape, np.dtype(dtype))}
    if operation == "cross_entropy_value_and_grad":
        return {"logits": logits, "targets": rng.integers(0, shape[1], shape[0])}
    return {"logits": logits}


def as_arrays(result: Any) -> list[np.ndarray]:
    """One result or several, of any library, as NumPy arrays."""
    return [np.asarray(part) for part in (result if isinstance(result, tuple | list) else (result,))]


def with_numpy(case: Case, threads: int) -> Call | None:
    return partial(formulas.NUMPY[case.operation], **case.inputs, axis=case.axis)


def with_jacobian(case: Case, threads: int) -> Call | None:
    """The naive way: fastsoftmax.reference, which builds the Jacobians."""
    naive = case.operation in ("softmax_vjp", "cross_entropy_value_and_grad") and not case.allocates
    if not naive or len(case.shape) == 3 or case.shape[0] * case.shape[1] ** 2 > JACOBIAN_LIMIT:
        return None
    return partial(getattr(fs.reference, case.operation), **case.inputs)


def with_scipy(case: Case, threads: int) -> Call | None:
    if case.operation not in ("softmax", "log_softmax", "logsumexp"):
        return None
    return partial(getattr(scipy.special, case.operation), case.inputs["logits"], axis=case.axis)


def with_sklearn(case: Case, threads: int) -> Call | None:
    if case.operation == "softmax" and len(case.shape) == 2:
        return partial(extmath.softmax, case.inputs["logits"])
    if case.operation != "cross_entropy_value_and_grad":
        return None
    logits, targets = case.inputs.values()
    loss, labels = HalfMultinomialLoss(n_classes=case.shape[1]), targets.astype(case.dtype)
    losses, grad = np.empty(len(logits), logits.dtype), np.empty_like(logits)

    def call() -> tuple[Any, np.ndarray]:
        loss.loss_gradient(labels, logits, loss_out=losses, gradient_out=grad, n_threads=threads)
        np.divide(grad, len(grad), out=grad)
        return losses.mean(), grad

    return call


def with_fastsoftmax(case: Case, threads: int) -> Call | None:
    function = partial(getattr(fs, case.operation), *case.inputs.values())
    if case.operation != "cross_entropy_value_and_grad" and len(case.shape) == 3 and case.operation != "dense_vjp":
        function = partial(function, axis=case.axis)
    if case.operation in ("logsumexp", "dense_vjp") or case.allocates:
        return function
    return partial(function, out=np.empty(case.shape, case.dtype))


def with_torch(case: Case, threads: int) -> Call | None:
    import torch

    tensors = {name: torch.from_numpy(a) for name, a in case.inputs.items()}
    kind = getattr(torch, case.dtype)
    if case.operation in ("softmax", "log_softmax"):
        function = partial(getattr(torch, case.operation), tensors["logits"], case.axis)
        return function if case.allocates else partial(function, out=torch.empty(case.shape, dtype=kind))
    if case.operation == "logsumexp":
        return partial(torch.logsumexp, tensors["logits"], case.axis)
    if case.operation.endswith("_vjp") and case.operation != "dense_vjp":
        at, cotangent = tensors.values()
        log = case.operation.startswith("log")
        backward = torch._log_softmax_backward_data if log else torch._softmax_backward_data
        if case.allocates:
            return partial(backward, cotangent, at, case.axis, kind)
        out = torch.empty(case.shape, dtype=kind)
        if log:
            return partial(backward, cotangent, at, case.axis, kind, out=out)
        return partial(backward, cotangent, at, case.axis, kind, grad_input=out)
    if case.operation == "dense_vjp":
        X, weight, cotangent = tensors.values()
        return lambda: (cotangent @ weight, cotangent.T @ X, cotangent.sum(0))
    logits = tensors["logits"].requires_grad_()

    def call() -> tuple[Any, Any]:
        loss = torch.nn.functional.cross_entropy(logits, tensors["targets"])
        return loss.detach(), torch.autograd.grad(loss, logits)[0]

    return call


def with_jax(case: Case, threads: int) -> Call | None:
    import jax

    jax.config.update("jax_enable_x64", True)
    functions: dict[str, Callable[..., Any]] = {
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "logsumexp": jax.nn.logsumexp,
        "softmax_vjp": formulas.softmax_vjp,
        "log_softmax_vjp": lambda log_probs, cotangent, axis: (
            cotangent - jax.numpy.exp(log_probs) * cotangent.sum(axis=axis, keepdims=True)
        ),
        "cross_entropy_value_and_grad": jax.value_and_grad(
            lambda logits, targets, axis: -jax.nn.log_softmax(logits)[jax.numpy.arange(len(logits)), targets].mean()
        ),
        "dense_vjp": formulas.dense_vjp,
    }
    function = jax.jit(partial(functions[case.operation], axis=case.axis))
    arrays = [jax.numpy.asarray(a) for a in case.inputs.values()]
    return lambda: jax.block_until_ready(function(*arrays))


def with_onnxruntime(case: Case, threads: int) -> Call | None:
    """A model of one node, its input and output bound to memory at hand."""
    import onnx
    import onnxruntime

    nodes = {"softmax": "Softmax", "log_softmax": "LogSoftmax", "logsumexp": "ReduceLogSumExp"}
    if case.operation not in nodes or case.allocates or (case.operation == "logsumexp" and len(case.shape) == 3):
        return None
    helper, kind = onnx.helper, getattr(onnx.TensorProto, {"float32": "FLOAT", "float64": "DOUBLE"}[case.dtype])
    shape = case.shape[:1] if case.operation == "logsumexp" else case.shape
    options = {"axes": [1], "keepdims": 0} if case.operation == "logsumexp" else {"axis": case.axis}
    graph = helper.make_graph(
        [helper.make_node(nodes[case.operation], ["z"], ["y"], **options)],
        case.operation,
        [helper.make_tensor_value_info("z", kind, case.shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    out, binding = np.empty(shape, case.dtype), session.io_binding()
    binding.bind_ortvalue_input("z", onnxruntime.OrtValue.ortvalue_from_numpy(case.inputs["logits"]))
    binding.bind_output("y", "cpu", 0, np.dtype(case.dtype), shape, out.ctypes.data)

    def call() -> np.ndarray:
        session.run_with_iobinding(binding)
        return out

    return call


PROVIDERS: dict[str, Callable[[Case, int], Call | None]] = {
    "jacobian": with_jacobian,
    "numpy": with_numpy,
    "scipy": with_scipy,
    "sklearn": with_sklearn,
    "onnxruntime": with_onnxruntime,
    "torch": with_torch,
    "jax": with_jax,
    "fastsoftmax": with_fastsoftmax,
}
OPTIONAL = {"torch": ("torch",), "jax": ("jax",), "onnxruntime": ("onnxruntime", "onnx")}


def installed() -> list[str]:
    """The providers that can run here: torch, JAX and ONNX Runtime are optional."""
    return [name for name in PROVIDERS if all(find_spec(module) for module in OPTIONAL.get(name, ()))]
