"""Inference: the softmax of a linear layer in one pass over X, and predict_proba of a fitted classifier.

The layer goes against torch's softmax(linear(X)) into memory at hand, and JAX's under jit; the classifier against
LogisticRegression with the same coefficients, from one row, where a call is nothing but overhead, up.
"""

from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
from judge import quietly
from sklearn.linear_model import LogisticRegression

import fastsoftmax as fs
from fastsoftmax.cli.races.rows import as_arrays

SHAPES = [(1, 64, 10), (1797, 64, 10), (60000, 784, 10), (20000, 300, 26), (4096, 512, 1000)]  # N, D, C
ANSWERS = [("predict_proba", (1, 64, 10)), ("predict", (1, 64, 10)), ("predict_proba", (1, 64, 2))]
ANSWERS += [("predict_proba", (1797, 64, 10)), ("predict_proba", (60000, 784, 10))]


@dataclass(frozen=True)
class InferenceCase:
    """One call at one shape (n_samples, n_features, n_classes)."""

    name: str  # "linear_softmax", "predict_proba", "predict"
    shape: tuple[int, int, int]
    dtype: str = "float32"

    @property
    def data(self):
        """X, weight, bias: random."""
        (n_samples, n_features, n_classes), rng = self.shape, np.random.default_rng(self.shape)
        weight = rng.standard_normal((n_classes, n_features), np.float32) / np.float32(np.sqrt(n_features))
        arrays = rng.standard_normal((n_samples, n_features), np.float32), weight, rng.standard_normal(n_classes)
        return [a.astype(self.dtype) for a in arrays]

    @property
    def n_flops(self):
        """Of the product."""
        return 2 * int(np.prod(self.shape))

    @property
    def n_bytes(self):
        """X and weight read once, the result written."""
        n_samples, n_features, n_classes = self.shape
        return np.dtype(self.dtype).itemsize * (n_features * (n_samples + n_classes) + n_samples * n_classes)


def in_numpy(X, weight, bias):
    z = X.astype(np.float64) @ weight.T.astype(np.float64) + bias
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def with_fastsoftmax(case, threads):
    X, weight, bias = case.data
    return partial(fs.linear_softmax, X, weight, bias, out=np.empty((len(X), len(weight)), case.dtype))


def in_two_steps(case, threads):
    """dense, then softmax, each into memory at hand."""
    X, weight, bias = case.data
    out = np.empty((len(X), len(weight)), case.dtype)
    return lambda: fs.softmax(fs.dense(X, weight, bias, out=out), out=out)


def with_torch(case, threads):
    import torch

    X, weight, bias = map(torch.from_numpy, case.data)
    out = torch.empty((len(X), len(weight)), dtype=X.dtype)
    return lambda: torch.softmax(torch.nn.functional.linear(X, weight, bias), 1, out=out)


def with_jax(case, threads):
    import jax

    jax.config.update("jax_enable_x64", True)
    function = jax.jit(lambda X, weight, bias: jax.nn.softmax(X @ weight.T + bias, axis=1))
    arrays = [jax.numpy.asarray(a) for a in case.data]
    return lambda: jax.block_until_ready(function(*arrays))


LAYERS = {"fastsoftmax in two steps": in_two_steps, "fastsoftmax": with_fastsoftmax}
LAYERS |= {name: call for name, call in (("torch", with_torch), ("jax", with_jax)) if find_spec(name)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def bench_linear_softmax(race, shape, dtype):
    case = InferenceCase("linear_softmax", shape, dtype)
    race(case, LAYERS, as_arrays(in_numpy(*case.data)))


def classifiers(case):
    """Ours and LogisticRegression, with the same coefficients."""
    X, weight, bias = case.data
    if len(weight) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    y, ours, theirs = (
        np.arange(1, case.shape[2] + 1, dtype=case.dtype),
        fs.SoftmaxClassifier(max_iter=1),
        LogisticRegression(max_iter=1),
    )
    for model in (ours, theirs):
        quietly(partial(model.fit, X[0] + y[:, None], y))
    ours.coefs_, ours.intercepts_ = [weight.T], [bias]
    theirs.coef_, theirs.intercept_ = weight, bias
    return X, ours, theirs


def with_model(k, case, threads):
    X, *models = classifiers(case)
    return partial(getattr(models[k], case.name), X)


@pytest.mark.parametrize(
    ("name", "shape"), ANSWERS, ids=lambda value: value if isinstance(value, str) else "x".join(map(str, value))
)
def bench_answers(race, name, shape):
    case = InferenceCase(name, shape, "float64" if shape[0] < 2000 else "float32")
    probs = in_numpy(*case.data)
    expected = probs if name == "predict_proba" else (1 + probs.argmax(axis=1)).astype(case.dtype)
    race(case, {"sklearn": partial(with_model, 1), "fastsoftmax": partial(with_model, 0)}, as_arrays(expected))
