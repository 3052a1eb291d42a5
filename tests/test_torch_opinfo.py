"""The inputs that torch tests its own operators with (OpInfo), through our functions: torch's results and gradients.

They lie in torch's wheel, and need its test helper: pip install torch expecttest. What does not apply is listed. Class
weights are drawn there from a normal distribution; where one is negative, which is an error here, both get its size.
"""

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
from helpers import tolerance

import fastsoftmax as fs

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("expecttest", reason="torch's sample inputs need expecttest, which is not installed")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

pytestmark = pytest.mark.filterwarnings("ignore")
DTYPES = ("float16", "float32", "float64")
OPS = {
    "softmax": 7,
    "softmax with_dtype": 7,
    "log_softmax": 7,
    "log_softmax with_dtype": 7,
    "logsumexp": 8,
    "nn.functional.cross_entropy": 20,
    "nn.functional.nll_loss": 60,
    "nn.functional.linear_cross_entropy": 60,
    "nn.functional.linear_cross_entropy chunked": 70,
    "nn.functional.linear_cross_entropy chunked_none": 40,
}  # and how many of the samples must apply
ELSEWHERE = {"a weight of more than two axes: our layers have one axis of classes"}


def found(name: str) -> Any:
    """The operator of this name."""
    base, _, variant = name.partition(" ")
    (op,) = [op for op in op_db if (op.name, op.variant_test_name) == (base, variant)]
    return op


def close(ours: Any, theirs: Any, dtype: str, scale: float = 1.0) -> None:
    """Equal but for rounding, with shapes and dtypes."""
    theirs = theirs.detach().numpy()
    ours = np.asarray(ours)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    allowed = 2 * scale * tolerance(dtype, max(1, theirs.size))
    wide = ours.astype(np.float64), theirs.astype(np.float64)
    np.testing.assert_allclose(*wide, rtol=allowed, atol=allowed)


def leaf(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_()


def gradient(output: Any, tensor: Any, cotangent: Any = None) -> Any:
    (grad,) = torch.autograd.grad(output, tensor, torch.ones_like(output) if cotangent is None else cotangent)
    return grad


def check_map(name: str, sample: Any, dtype: str) -> str | None:
    """Softmax or log_softmax, and its vjp."""
    theirs, (axis,) = leaf(sample.input), sample.args
    output = getattr(torch, name)(theirs, axis, **sample.kwargs)
    asked = str(sample.kwargs.get("dtype", sample.input.dtype)).removeprefix("torch.")
    logits = sample.input.numpy().astype(asked)
    ours = getattr(fs, name)(logits, axis)
    close(ours, output, dtype)
    cotangent = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    grad = gradient(output, theirs, cotangent).numpy().astype(asked)
    close(getattr(fs, f"{name}_vjp")(ours, cotangent.numpy(), axis), torch.from_numpy(np.asarray(grad)), dtype)
    return None


def check_logsumexp(sample: Any, dtype: str) -> str | None:
    axis, *keepdim = sample.args
    keepdims = sample.kwargs.get("keepdim", bool(keepdim and keepdim[0]))
    close(
        fs.logsumexp(sample.input.numpy(), axis, keepdims=keepdims),
        found("logsumexp")(sample.input, axis, keepdims),
        dtype,
    )
    return None


def loss_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Torch's options by our names. Its ignore_index of -100 is one that no label is."""
    names = {"weight": "class_weight", "ignore_index": "ignore_index", "label_smoothing": "label_smoothing"}
    options = {names[name]: value for name, value in kwargs.items() if name in names and value is not None}
    options["reduction"] = kwargs.get("reduction", "mean")
    if "class_weight" in options:
        options["class_weight"] = options["class_weight"].detach().numpy()
    return options


def check_loss(base: str, sample: Any, dtype: str) -> str | None:
    """Torch has the classes along axis 1, we along the last. nll_loss is of the logarithms of softmax."""
    (targets,), theirs = sample.args, leaf(sample.input)
    axis = min(1, theirs.ndim - 1)
    scores = torch.log_softmax(theirs, axis) if base == "nll_loss" else theirs
    output = getattr(torch.nn.functional, base)(scores, targets, **sample.kwargs)
    grad = gradient(output, theirs)
    logits = np.moveaxis(theirs.detach().numpy(), axis, -1)
    soft = targets.is_floating_point()
    given = np.moveaxis(targets.numpy(), axis, -1) if soft else targets.numpy()
    loss, ours = fs.cross_entropy_value_and_grad(logits, given, **loss_options(sample.kwargs))
    close(loss, output, dtype)
    close(np.moveaxis(ours, -1, axis), grad, dtype)
    return None


def check_linear(sample: Any, dtype: str) -> str | None:
    weight, targets = sample.args
    if weight.ndim != 2:
        return "a weight of more than two axes: our layers have one axis of classes"
    kwargs = dict(sample.kwargs)
    bias = kwargs.get("linear_bias")
    inputs = [leaf(tensor) for tensor in (sample.input, weight)] + ([] if bias is None else [leaf(bias)])
    if bias is not None:
        kwargs["linear_bias"] = inputs[2]
    output = torch.nn.functional.linear_cross_entropy(inputs[0], inputs[1], targets, **kwargs)
    grads = torch.autograd.grad(output, inputs, torch.ones_like(output))
    X = np.atleast_2d(sample.input.numpy())
    given = targets.numpy()
    given = given.reshape(len(X), -1) if targets.is_floating_point() else given.reshape(len(X))
    loss, ours = fs.linear_cross_entropy_value_and_grad(
        X, weight.numpy(), None if bias is None else bias.numpy(), given, with_grad_X=True, **loss_options(kwargs)
    )
    close(np.reshape(loss, output.shape), output, dtype)
    for mine, theirs in zip((ours.X.reshape(inputs[0].shape), ours.weight, ours.bias), grads, strict=False):
        close(mine, theirs, dtype, scale=4)
    return None


def check(name: str, sample: Any, dtype: str) -> str | None:
    """None if it is right, or the reason why it does not apply."""
    base = name.split(" ")[0].removeprefix("nn.functional.")
    if sample.kwargs.get("weight") is not None:
        sample.kwargs["weight"] = sample.kwargs["weight"].detach().abs()
    if base in ("softmax", "log_softmax"):
        return check_map(base, sample, dtype)
    if base == "logsumexp":
        return check_logsumexp(sample, dtype)
    return check_linear(sample, dtype) if base == "linear_cross_entropy" else check_loss(base, sample, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPS)
def test_samples_of_torchs_own_tests(name, dtype):
    op, torch_dtype = found(name), getattr(torch, dtype)
    if torch_dtype not in op.dtypes:
        pytest.skip(f"torch's {name} takes no {dtype} on a CPU")
    torch.manual_seed(0)
    outcomes = Counter(check(name, sample, dtype) for sample in op.reference_inputs("cpu", torch_dtype))
    assert set(outcomes) <= {None} | ELSEWHERE
    assert outcomes[None] >= OPS[name], outcomes
