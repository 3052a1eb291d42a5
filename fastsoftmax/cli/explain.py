"""Backpropagation through softmax, step by step, with numbers: the shape of each factor, and where dW and db come from.

`explain` makes the text in four parts: the way forward, the way back to the logits for each of the two losses, and the
way on to the weights. Every equality in it is computed both ways, and told from the numbers.
"""

from collections.abc import Iterator

import numpy as np

from fastsoftmax import functional, reference
from fastsoftmax._gate.arrays import Array


def explain(n_samples: int = 2, n_features: int = 4, n_classes: int = 3, random_state: int = 0) -> str:
    """The forward and backward pass of softmax regression on a small random batch, as text.

    Parameters
    ----------
    n_samples, n_features, n_classes : int
        N, D and C, at least 1.
    random_state : int
        Seed of the numbers.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A size below 1.

    Examples
    --------
    >>> from fastsoftmax.cli.explain import explain
    >>> print(explain(1, 2, 2).splitlines()[0])
    Softmax regression on a batch of N = 1 samples with D = 2 features, C = 2 classes.
    """
    for name, size in (("n_samples", n_samples), ("n_features", n_features), ("n_classes", n_classes)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    rng = np.random.default_rng(random_state)
    X = rng.integers(-20, 21, (n_samples, n_features)) / 10
    weight = rng.integers(-10, 11, (n_classes, n_features)) / 10
    bias = rng.integers(-5, 6, n_classes) / 10
    labels = rng.integers(0, n_classes, n_samples)
    probs, targets = functional.softmax(functional.dense(X, weight, bias)), reference.one_hot(labels, n_classes)
    sizes = f"N = {n_samples} samples with D = {n_features} features, C = {n_classes} classes."
    lines = [f"Softmax regression on a batch of {sizes}", *_forward(X, weight, bias, labels)]
    lines += [*_back_to_logits("cross-entropy", probs, targets), *_cross_entropy_collapses(probs, targets)]
    lines += [*_back_to_logits("squared error", probs, targets), *_squared_error_does_not(probs, targets)]
    lines += _back_to_weights(X, weight, (probs - targets) / n_samples)
    return "\n".join(lines)


def _forward(X: Array, weight: Array, bias: Array, labels: Array) -> Iterator[str]:
    logits = functional.dense(X, weight, bias)
    targets = reference.one_hot(labels, len(weight))
    yield from _title("1. Forward")
    yield "Indices: n is a sample, d a feature, c (or i, j, k) a class. Behind each name stands its shape."
    yield from _step("X, the samples, one a row", X, "(N, D)")
    yield from _step("W, the weights, one row a class (many textbooks have the transpose, (D, C))", weight, "(C, D)")
    yield from _step("b, the biases", bias, "(C,)")
    yield from _step(
        "Z, the logits", logits, "(N, C)", "z_nc = sum_d X_nd W_cd + b_c", "Z = X W^T + b    (N, D) (D, C) + (C,)"
    )
    yield from _step(
        "P, the probabilities: each row sums to 1",
        functional.softmax(logits),
        "(N, C)",
        "p_nc = exp(z_nc) / sum_k exp(z_nk)",
    )
    yield from _step(
        f"Y, the targets: the labels {labels} one-hot", targets, "(N, C)", "y_nc = 1 if c is the label of n, else 0"
    )
    loss = functional.cross_entropy(logits, labels)
    yield from _step("L, the loss: mean cross-entropy, one number", loss, "()", "L = -1/N sum_n sum_c y_nc log p_nc")


def _back_to_logits(loss: str, probs: Array, targets: Array) -> Iterator[str]:
    if loss == "cross-entropy":
        grad_probs = reference.cross_entropy_grad_probs(probs, targets) / len(probs)
        number, formula = 2, "dL/dp_nc = -1/N y_nc / p_nc"
    else:
        grad_probs = reference.squared_error_grad_probs(probs, targets) / len(probs)
        number, formula = 3, "L = 1/N sum_n sum_c (p_nc - y_nc)^2, so dL/dp_nc = 2/N (p_nc - y_nc)"
    yield from _title(f"{number}. Back to the logits: {loss}")
    yield from _step("dL/dP, what the loss sends back: a vector for each sample", grad_probs, "(N, C)", formula)
    jacobian = reference.softmax_jacobian(probs)
    if loss == "cross-entropy":
        yield "    The 1/N of the mean comes in here, once; no later step has another."
        yield ""
        yield "Every p_i depends on every z_j of its sample, through the sum that it is divided by: each sample has a"
        yield "matrix of derivatives. From here to the logits each sample goes its own way, and n is left out."
        yield from _step(
            "J, the Jacobian of softmax: a matrix for each sample, symmetric",
            jacobian,
            "(N, C, C)",
            "J_ij = dp_i/dz_j = p_i (delta_ij - p_j)    delta_ij = 1 if i = j, else 0",
            "J = diag(p) - p p^T    (C, C) - (C, 1) (1, C)",
        )
    by_jacobian = reference.softmax_vjp(probs, grad_probs)
    yield from _step(
        "dL/dZ the naive way: vector times matrix, for each sample",
        by_jacobian,
        "(N, C)",
        "dL/dz_j = sum_i dL/dp_i J_ij",
        "dL/dz = dL/dp J    (1, C) (C, C) = (1, C)",
    )
    if loss == "cross-entropy":
        pairs = zip(grad_probs[0, :4] + 0.0, jacobian[0, :4, 0], strict=True)  # -0 is 0
        terms = " + ".join(f"({u:.4f}) ({j:.4f})" for u, j in pairs)
        more = " + ..." if probs.shape[1] > 4 else ""
        yield f"    the first number: {terms}{more} = {by_jacobian[0, 0]:.4f}"
        yield "    J is symmetric, so J times the column dL/dp gives the same: vjp and jvp of softmax are one map."
        yield ""
        yield "Put p_i (delta_ij - p_j) for J_ij, and write <a, b> for the inner product sum_i a_i b_i:"
        yield "    sum_i dL/dp_i p_i delta_ij - sum_i dL/dp_i p_i p_j  =  dL/dp_j p_j - p_j <dL/dp, p>"
    by_vjp = functional.softmax_vjp(probs, grad_probs)
    yield from _step(
        "dL/dZ the fast way: one inner product for each sample, and no matrix",
        by_vjp,
        "(N, C)",
        "dL/dz_j = p_j (dL/dp_j - <dL/dp, p>)    O(C) steps for each sample, not O(C^2)",
    )
    yield _verdict("The two ways", by_jacobian, by_vjp)


def _cross_entropy_collapses(probs: Array, targets: Array) -> Iterator[str]:
    by_vjp = functional.softmax_vjp(probs, reference.cross_entropy_grad_probs(probs, targets) / len(probs))
    collapsed = (probs - targets) / len(probs)
    yield ""
    yield "With cross-entropy it collapses: p_j dL/dp_j = -1/N y_j, and <dL/dp, p> = -1/N sum_i y_i = -1/N, so"
    yield from _step("dL/dZ = (P - Y) / N", collapsed, "(N, C)", "dL/dz_nc = 1/N (p_nc - y_nc)")
    yield _verdict("The formula and the chain rule", collapsed, by_vjp)


def _squared_error_does_not(probs: Array, targets: Array) -> Iterator[str]:
    by_vjp = functional.softmax_vjp(probs, reference.squared_error_grad_probs(probs, targets) / len(probs))
    yield ""
    yield "With squared error nothing cancels: no p_j is divided by, and the factor p_j stays."
    yield _verdict("2/N (P - Y) and the chain rule", 2 * (probs - targets) / len(probs), by_vjp)


def _back_to_weights(X: Array, weight: Array, grad_logits: Array) -> Iterator[str]:
    grad_X, grad_weight, grad_bias = functional.dense_vjp(X, weight, grad_logits)
    yield from _title("4. Back to the weights, with G = dL/dZ of cross-entropy")
    yield "z_nc = sum_d X_nd W_cd + b_c: every sample uses W_cd, with its own factor X_nd, and b_c, with the factor 1."
    yield "So both gradients are sums over the samples. X_nd is used by every class, with W_cd: a sum over the classes."
    outer = grad_logits[:, :, None] * X[:, None, :]
    yield from _step(
        "one outer product for each sample: column G_n times row X_n",
        outer,
        "(N, C, D)",
        "G_nc X_nd",
        "(C, 1) (1, D) for each n",
    )
    yield from _step(
        "dL/dW, their sum: the same as one matrix product",
        grad_weight,
        "(C, D)",
        "dL/dW_cd = sum_n G_nc X_nd",
        "dL/dW = G^T X    (C, N) (N, D)",
    )
    yield _verdict("The sum of outer products and the matrix product", outer.sum(axis=0), grad_weight)
    yield from _step("dL/db", grad_bias, "(C,)", "dL/db_c = sum_n G_nc", "the sum of the rows of G")
    yield from _step(
        "dL/dX, what a layer below would get",
        grad_X,
        "(N, D)",
        "dL/dX_nd = sum_c G_nc W_cd",
        "dL/dX = G W    (N, C) (C, D)",
    )


def _title(text: str) -> Iterator[str]:
    yield from ("", text, "=" * len(text))


def _step(name: str, value: Array | None, shape: str, components: str = "", matrices: str = "") -> Iterator[str]:
    value = np.asarray(value)
    numbers = ", ".join(str(n) for n in value.shape) + ("," if value.ndim == 1 else "")
    yield ""
    yield f"{name}    {shape} = ({numbers})" if numbers else f"{name}    a scalar"
    if components:
        yield f"    in components    {components}"
    if matrices:
        yield f"    as matrices      {matrices}"
    shown = value + 0.0  # -0 is 0
    text = np.array2string(
        shown, precision=4, suppress_small=True, floatmode="fixed", threshold=200, max_line_width=116
    )
    yield from ("    " + line for line in text.splitlines())


def _verdict(what: str, a: Array, b: Array) -> str:
    difference = float(np.abs(a - b).max())
    equal = difference <= 64 * np.finfo(np.float64).eps * max(1.0, float(np.abs(a).max()))
    return f"    -> {what} {'are equal' if equal else 'differ'}: the largest difference is {difference:.1e}"
