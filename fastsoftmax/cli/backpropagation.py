"""Softmax regression on a small random batch, step by step: what `explain` prints and what its page shows.

Each step has its numbers, its formula, and the code for it, in NumPy as it is taught and by the functions of this
package. The codes run one after the other, given X, W, b, labels, N and C, np and fs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastsoftmax import functional, reference
from fastsoftmax._gate.arrays import Array


@dataclass(frozen=True)
class Step:
    """A quantity: its numbers, and how they come about.

    Attributes
    ----------
    key : its name on the page
    title : its name and what it is
    shape : in letters
    components, matrices : the formula, for one entry and for all
    numpy, fast : the code in NumPy and with fastsoftmax
    """

    key: str
    title: str
    shape: str
    value: Array
    components: str = ""
    matrices: str = ""
    numpy: str = ""
    fast: str = ""


@dataclass(frozen=True)
class Batch:
    """The samples X (N, D) and their labels (N,), the weights W (C, D) and the biases b (C,)."""

    X: Array
    weight: Array
    bias: Array
    labels: Array

    @property
    def logits(self) -> Array:
        return functional.dense(self.X, self.weight, self.bias)

    @property
    def probs(self) -> Array:
        return functional.softmax(self.logits)

    @property
    def targets(self) -> Array:
        return reference.one_hot(self.labels, len(self.weight))


def random_batch(n_samples: int, n_features: int, n_classes: int, random_state: int) -> Batch:
    """Numbers with one decimal, easy to follow."""
    for name, size in (("n_samples", n_samples), ("n_features", n_features), ("n_classes", n_classes)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    rng = np.random.default_rng(random_state)
    X = rng.integers(-20, 21, (n_samples, n_features)) / 10
    weight = rng.integers(-10, 11, (n_classes, n_features)) / 10
    bias = rng.integers(-5, 6, n_classes) / 10
    return Batch(X, weight, bias, rng.integers(0, n_classes, n_samples))


def forward(batch: Batch) -> Iterator[Step]:
    """From the samples to the loss."""
    yield Step("X", "X, the samples, one a row", "(N, D)", batch.X)
    yield Step(
        "W", "W, the weights, one row a class (many textbooks have the transpose, (D, C))", "(C, D)", batch.weight
    )
    yield Step("b", "b, the biases", "(C,)", batch.bias)
    yield Step(
        "Z", "Z, the logits", "(N, C)", batch.logits,
        "z_nc = sum_d X_nd W_cd + b_c", "Z = X W^T + b    (N, D) (D, C) + (C,)",
        "Z = X @ W.T + b", "Z = fs.dense(X, W, b)",
    )  # fmt: skip
    yield Step(
        "P", "P, the probabilities: each row sums to 1", "(N, C)", batch.probs,
        "p_nc = exp(z_nc) / sum_k exp(z_nk)", "",
        "E = np.exp(Z - Z.max(axis=1, keepdims=True))\nP = E / E.sum(axis=1, keepdims=True)", "P = fs.softmax(Z)",
    )  # fmt: skip
    labels = np.array2string(batch.labels, threshold=12, max_line_width=1000)
    yield Step(
        "Y", f"Y, the targets: the labels {labels} one-hot", "(N, C)", batch.targets,
        "y_nc = 1 if c is the label of n, else 0", "",
        "Y = np.eye(C)[labels]", "# takes the labels as they are",
    )  # fmt: skip
    yield Step(
        "L", "L, the loss: mean cross-entropy, one number", "()",
        np.asarray(functional.cross_entropy(batch.logits, batch.labels)),
        "L = -1/N sum_n sum_c y_nc log p_nc", "",
        "L = -(Y * np.log(P)).sum() / N", "L = fs.cross_entropy(Z, labels)",
    )  # fmt: skip


def loss_to_probs(batch: Batch) -> Step:
    """dL/dP of cross-entropy."""
    grad_probs = reference.cross_entropy_grad_probs(batch.probs, batch.targets) / len(batch.X)
    return Step(
        "dP", "dL/dP, what the loss sends back: a vector for each sample", "(N, C)", grad_probs,
        "dL/dp_nc = -1/N y_nc / p_nc", "", "dP = -Y / P / N", "# never needed: see (P - Y) / N below",
    )  # fmt: skip


def jacobian(batch: Batch) -> Step:
    """The derivative of softmax."""
    return Step(
        "J", "J, the Jacobian of softmax: a matrix for each sample, symmetric", "(N, C, C)",
        reference.softmax_jacobian(batch.probs),
        "J_ij = dp_i/dz_j = p_i (delta_ij - p_j)    delta_ij = 1 if i = j, else 0",
        "J = diag(p) - p p^T    (C, C) - (C, 1) (1, C)",
        "J = np.stack([np.diag(p) - np.outer(p, p) for p in P])", "# never built",
    )  # fmt: skip


def naive(batch: Batch, grad_probs: Array, key: str = "naive") -> Step:
    """dL/dZ with the Jacobian."""
    return Step(
        key, "dL/dZ the naive way: vector times matrix, for each sample", "(N, C)",
        reference.softmax_vjp(batch.probs, grad_probs),
        "dL/dz_j = sum_i dL/dp_i J_ij", "dL/dz = dL/dp J    (1, C) (C, C) = (1, C)",
        "dZ = np.stack([u @ j for u, j in zip(dP, J)])", "# never done",
    )  # fmt: skip


def inner(batch: Batch, grad_probs: Array, key: str = "inner") -> Step:
    """All that the entries of a sample need to know of each other."""
    return Step(
        key, "s = <dL/dp, p>, one number for each sample", "(N,)", (grad_probs * batch.probs).sum(axis=1),
        "s_n = sum_i dL/dp_ni p_ni", "", "s = (dP * P).sum(axis=1)", "# in the call below",
    )  # fmt: skip


def fast(batch: Batch, grad_probs: Array, key: str = "fast") -> Step:
    """dL/dZ without it."""
    return Step(
        key, "dL/dZ the fast way: with that number, and no matrix", "(N, C)",
        functional.softmax_vjp(batch.probs, grad_probs),
        "dL/dz_j = p_j (dL/dp_j - <dL/dp, p>)    O(C) steps for each sample, not O(C^2)", "",
        "dZ = P * (dP - s[:, None])", "dZ = fs.softmax_vjp(P, dP)",
    )  # fmt: skip


def collapsed(batch: Batch) -> Step:
    """dL/dZ of cross-entropy, from the logits in one call."""
    return Step(
        "dZ", "dL/dZ = (P - Y) / N", "(N, C)", (batch.probs - batch.targets) / len(batch.X),
        "dL/dz_nc = 1/N (p_nc - y_nc)", "",
        "dZ = (P - Y) / N", "L, dZ = fs.cross_entropy_value_and_grad(Z, labels)",
    )  # fmt: skip


def to_weights(batch: Batch) -> Iterator[Step]:
    """The gradients of the dense layer, with G = dL/dZ of cross-entropy."""
    grad_logits = collapsed(batch).value
    grad_X, grad_weight, grad_bias = functional.dense_vjp(batch.X, batch.weight, grad_logits)
    yield Step(
        "outer", "one outer product for each sample: column G_n times row X_n", "(N, C, D)",
        grad_logits[:, :, None] * batch.X[:, None, :],
        "G_nc X_nd", "(C, 1) (1, D) for each n",
        "G = dZ\nouter = np.stack([np.outer(g, x) for g, x in zip(G, X)])", "# never built",
    )  # fmt: skip
    yield Step(
        "dW", "dL/dW, their sum: the same as one matrix product", "(C, D)", grad_weight,
        "dL/dW_cd = sum_n G_nc X_nd", "dL/dW = G^T X    (C, N) (N, D)",
        "dW = G.T @ X    # = outer.sum(axis=0)", "dX, dW, db = fs.dense_vjp(X, W, G)",
    )  # fmt: skip
    yield Step(
        "db", "dL/db", "(C,)", grad_bias,
        "dL/db_c = sum_n G_nc", "the sum of the rows of G", "db = G.sum(axis=0)", "# in the same call",
    )  # fmt: skip
    yield Step(
        "dX", "dL/dX, what a layer below would get", "(N, D)", grad_X,
        "dL/dX_nd = sum_c G_nc W_cd", "dL/dX = G W    (N, C) (C, D)", "dX = G @ W", "# in the same call",
    )  # fmt: skip


def squared_error(batch: Batch) -> Iterator[Step]:
    """The same way back with another loss, whose dL/dP does not cancel the factor p_j."""
    grad_probs = reference.squared_error_grad_probs(batch.probs, batch.targets) / len(batch.X)
    yield Step(
        "dP2", "dL/dP of L = 1/N sum_n sum_c (p_nc - y_nc)^2", "(N, C)", grad_probs,
        "dL/dp_nc = 2/N (p_nc - y_nc)", "", "dP = 2 * (P - Y) / N", "# never needed: see below",
    )  # fmt: skip
    yield naive(batch, grad_probs, "naive2")
    yield inner(batch, grad_probs, "inner2")
    step = fast(batch, grad_probs, "fast2")
    yield replace(
        step,
        fast=f"{step.fast}\n# or in one call, from the logits:\nL, dZ = fs.squared_error_value_and_grad(Z, labels)",
    )


def main_way(batch: Batch) -> Iterator[Step]:
    """All steps with cross-entropy, in order."""
    yield from forward(batch)
    grad_probs = loss_to_probs(batch)
    yield grad_probs
    yield jacobian(batch)
    for step in (naive, inner, fast):
        yield step(batch, grad_probs.value)
    yield collapsed(batch)
    yield from to_weights(batch)


def as_json(n_samples: int, n_features: int, n_classes: int, random_state: int) -> dict[str, Any]:
    """Every step's numbers, the letters of their axes, and the code for them, by the step's key."""
    batch = random_batch(n_samples, n_features, n_classes, random_state)
    return {
        "sizes": {"N": n_samples, "D": n_features, "C": n_classes},
        "labels": batch.labels.tolist(),
        "steps": {
            step.key: {
                "axes": [letter for letter in step.shape if letter in "NDC"],
                "value": (step.value + 0.0).tolist(),  # -0 is 0
                "numpy": step.numpy,
                "fast": step.fast,
            }
            for step in (*main_way(batch), *squared_error(batch))
        },
    }
