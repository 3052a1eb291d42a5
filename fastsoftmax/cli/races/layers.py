"""The races of the linear layer with its loss: shapes (N, D, C), and who runs: each a function from a case and a number
of threads to a call without arguments, or to None where it has no such thing.

Sparse cases have the shape of 20 newsgroups as TF-IDF; columns are drawn evenly, which is hard on caches, or by Zipf's
law, as words are. `ceiling blas` is not a provider of the loss: NumPy's two dense products of the pass alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse
from sklearn._loss import HalfMultinomialLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

import fastsoftmax as fs

SHAPES = [(1797, 64, 10), (60000, 784, 10), (20000, 300, 26), (60000, 784, 100), (20000, 512, 1000)]
LARGE = [(2048, 256, 32000), (8192, 256, 32000)]
SPARSE = [(11314, 130107, 20)]
NONZEROS = 150  # a row
Call = Callable[[], Any]


@dataclass(frozen=True)
class LinearCase:
    """One computation at one shape (n_samples, n_features, n_classes)."""

    name: str  # "linear_cross_entropy", "... CSR", "... CSR Zipf", "... hvp", "... hvp, probs given"
    shape: tuple[int, int, int]
    dtype: str = "float32"

    @property
    def sparse(self) -> bool:
        """Whether X is a CSR matrix."""
        return "CSR" in self.name

    @property
    def hvp(self) -> bool:
        """Whether it is a product with the Hessian, instead of loss and gradients."""
        return "hvp" in self.name

    @property
    def with_probs(self) -> bool:
        """Whether what does not depend on the vector has been computed before."""
        return "probs" in self.name

    @property
    def data(self) -> tuple[Any, ...]:
        """X, weight, bias, targets, and a vector for the Hessian: uneven random data."""
        return _data(self.name.partition("Zipf")[1], self.sparse, self.shape, self.dtype)

    @property
    def n_flops(self) -> int:
        """Multiplications and additions of the products with X: two for value and gradient, three for an hvp."""
        n_samples, n_features, n_classes = self.shape
        products = 2 + (self.hvp and not self.with_probs)
        return 2 * products * n_classes * (n_samples * NONZEROS if self.sparse else n_samples * n_features)

    @property
    def n_bytes(self) -> int:
        """X read once, weight read and its gradient written."""
        X, weight, *_ = self.data
        size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if self.sparse else X.nbytes
        return int(size + 2 * weight.nbytes)


@cache
def _data(zipf: str, sparse: bool, shape: tuple[int, int, int], dtype: str) -> tuple[Any, ...]:
    _data.cache_clear()  # gigabytes
    n_samples, n_features, n_classes = shape
    rng, kind = np.random.default_rng(shape), np.float32  # in float64 the same numbers, so that one checks the other
    if sparse:
        X = _sparse(rng, n_samples, n_features, bool(zipf))
    else:
        X = rng.standard_normal((n_samples, n_features), kind)
    weight = rng.standard_normal((n_classes, n_features), kind) / kind(np.sqrt(min(n_features, NONZEROS)))
    bias = rng.standard_normal(n_classes, kind)
    labels = rng.integers(0, n_classes, n_samples)
    vector = rng.standard_normal(weight.shape, kind), rng.standard_normal(n_classes, kind)
    X, weight, bias, *vectors = (a.astype(dtype, copy=False) for a in (X, weight, bias, *vector))
    return X, weight, bias, labels, vectors


def _sparse(rng: np.random.Generator, n_samples: int, n_features: int, zipf: bool) -> Any:
    probability = 1 / np.arange(1, n_features + 1) ** (0.8 if zipf else 0)
    cumulated, names = (probability / probability.sum()).cumsum(), rng.permutation(n_features)
    drawn = np.minimum(np.searchsorted(cumulated, rng.random((n_samples, NONZEROS))), n_features - 1)
    rows = np.repeat(np.arange(n_samples), NONZEROS)
    X = scipy.sparse.coo_array(
        (rng.random(rows.size, np.float32), (rows, names[drawn.ravel()])), (n_samples, n_features)
    )
    return X.tocsr()


def in_numpy(case: LinearCase) -> tuple[Any, ...]:
    """The formulas in plain NumPy and SciPy: (loss, grad_weight, grad_bias), or the two parts of H v."""
    X, weight, bias, labels, (v_weight, v_bias) = case.data
    every = np.arange(len(labels))
    z = X @ weight.T + bias
    top = z.max(axis=1, keepdims=True)
    e = np.exp(z - top)
    total = e.sum(axis=1, keepdims=True)
    p = e / total
    if case.hvp:
        v = X @ v_weight.T + v_bias
        g = p * (v - (p * v).sum(axis=1, keepdims=True)) / len(labels)
        return (X.T @ g).T, g.sum(axis=0)
    loss = (np.log(total[:, 0]) + top[:, 0] - z[every, labels]).mean()
    p[every, labels] -= 1
    p /= len(labels)
    return loss, (X.T @ p).T, p.sum(axis=0)


def with_scipy(case: LinearCase, threads: int) -> Call | None:
    """SciPy's two sparse products and a softmax in NumPy, in the dtype."""
    return partial(in_numpy, case) if case.sparse else None


def with_blas(case: LinearCase, threads: int) -> Call | None:
    if case.sparse or case.hvp:
        return None
    X, weight, *_ = case.data
    cotangent = np.random.default_rng(0).standard_normal((len(X), len(weight)), X.dtype)
    logits, grad_weight = np.empty_like(cotangent), np.empty_like(weight)

    def call() -> None:
        np.matmul(X, weight.T, out=logits)
        np.matmul(cotangent.T, X, out=grad_weight)

    return call


def with_sklearn(case: LinearCase, threads: int) -> Call | None:
    X, weight, bias, labels, (v_weight, v_bias) = case.data
    n_classes = len(weight)
    if n_classes > 1000:
        return None
    model = LinearModelLoss(HalfMultinomialLoss(n_classes=n_classes), fit_intercept=True)
    coefficients = np.asfortranarray(np.hstack([weight, bias[:, None]]))
    target = labels.astype(case.dtype)
    vector = np.hstack([v_weight, v_bias[:, None]]).ravel(order="F")

    def parts(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        by_class = flat.reshape((n_classes, -1), order="F")
        return by_class[:, :-1], by_class[:, -1]

    def setup() -> Any:
        return model.gradient_hessian_product(coefficients, X, target, None, 0.0, threads)[1]

    if case.hvp:
        if case.with_probs:
            product = setup()
            return lambda: parts(product(vector))
        return lambda: parts(setup()(vector))

    def call() -> tuple[Any, ...]:
        loss, grad = model.loss_gradient(coefficients, X, target, None, 0.0, threads)
        return np.asarray(loss, case.dtype), *parts(grad)

    return call


def with_torch(case: LinearCase, threads: int) -> Call | None:
    """The logits of all rows at once."""
    import torch

    return _with_torch(
        case, lambda X, w, b, y: torch.nn.functional.cross_entropy(torch.nn.functional.linear(X, w, b), y)
    )


def with_torch_in_chunks(case: LinearCase, threads: int) -> Call | None:
    """Its way that never holds all logits (torch 2.13)."""
    import torch

    options = torch.nn.LinearCrossEntropyOptions()
    fused = torch.nn.functional.linear_cross_entropy
    return _with_torch(case, lambda X, w, b, y: fused(X, w, y, linear_bias=b, options=options))


def _with_torch(case: LinearCase, loss_of: Callable[..., Any]) -> Call | None:
    if case.sparse or case.hvp:
        return None
    import torch

    X, weight, bias, labels = (torch.from_numpy(a) for a in case.data[:4])
    weight.requires_grad_()
    bias.requires_grad_()

    def call() -> tuple[Any, ...]:
        loss = loss_of(X, weight, bias, labels)
        return loss.detach(), *torch.autograd.grad(loss, (weight, bias))

    return call


def with_jax(case: LinearCase, threads: int) -> Call | None:
    if case.sparse or case.hvp:
        return None
    import jax

    jax.config.update("jax_enable_x64", True)

    def loss_of(layer: Any, X: Any, labels: Any) -> Any:
        log_probs = jax.nn.log_softmax(X @ layer[0].T + layer[1])
        return -log_probs[jax.numpy.arange(len(labels)), labels].mean()

    function = jax.jit(jax.value_and_grad(loss_of))
    X, weight, bias, labels = (jax.numpy.asarray(a) for a in case.data[:4])

    def call() -> tuple[Any, ...]:
        loss, grads = jax.block_until_ready(function((weight, bias), X, labels))
        return loss, *grads

    return call


def with_fastsoftmax(case: LinearCase, threads: int) -> Call:
    X, weight, bias, labels, vector = case.data
    out = fs.LinearGrads(np.empty_like(weight), np.empty_like(bias))
    if case.hvp:
        probs = fs.softmax(fs.dense(X, weight, bias)) if case.with_probs else None
        product = partial(fs.linear_cross_entropy_hvp, X, weight, bias, labels, *vector, probs=probs, out=out)
        return lambda: product()[:2]

    def call() -> tuple[Any, ...]:
        loss, grads = fs.linear_cross_entropy_value_and_grad(X, weight, bias, labels, out=out)
        return loss, grads.weight, grads.bias

    return call


PROVIDERS: dict[str, Callable[[LinearCase, int], Call | None]] = {
    "ceiling blas": with_blas,
    "scipy": with_scipy,
    "sklearn": with_sklearn,
    "torch": with_torch,
    "torch in chunks": with_torch_in_chunks,
    "jax": with_jax,
    "fastsoftmax": with_fastsoftmax,
}


OPTIONAL = {"torch": "torch", "torch in chunks": "torch", "jax": "jax"}


def installed() -> dict[str, Callable[[LinearCase, int], Call | None]]:
    """The providers that can run here: torch and JAX are optional."""
    can_run = [name for name in PROVIDERS if name not in OPTIONAL or find_spec(OPTIONAL[name])]
    if "torch in chunks" in can_run and not has_chunks():
        can_run.remove("torch in chunks")
    return {name: PROVIDERS[name] for name in can_run}


def has_chunks() -> bool:
    """Whether this torch has a loss that never holds all logits."""
    import torch

    return hasattr(torch.nn, "LinearCrossEntropyOptions")
