"""Backpropagation through softmax, step by step, as text: the shape of each factor, and where dW and db come from.

`explain` begins with the way there and back as a map, and goes it in four parts. Every equality in it is computed both
ways, and told from the numbers.
"""

from collections.abc import Iterator

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.cli import backpropagation as steps
from fastsoftmax.cli.backpropagation import Batch, Step

QUESTION = """\
The question: softmax turns C numbers into C numbers, so its derivative is a matrix, one for each sample. How does that
matrix multiply the gradient of the loss, and where do dL/dW and dL/db come from? The whole way, with the shapes here:

"""
RULES = """\
Four rules settle every shape:
 1. A gradient has the shape of what it is the gradient of: dL/dW is (C, D) because W is. Look across the map.
 2. softmax takes each sample, a row of C numbers, by itself: N samples have N Jacobians of (C, C), not one larger one.
 3. Row times matrix is a row again, (1, C) (C, C) = (1, C): the inner sizes are equal and vanish.
 4. W and b serve every sample, so their gradients are sums over the samples, and N vanishes. X, Z and P keep it.

Indices: n is a sample, d a feature, c (or i, j, k) a class.
The lines of code run in this order, given X, W, b, labels, N and C, with numpy as np and fastsoftmax as fs.
The same with pictures, in a browser: fastsoftmax explain --html FILE"""


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
    batch = steps.random_batch(n_samples, n_features, n_classes, random_state)
    sizes = f"N = {n_samples} samples with D = {n_features} features, C = {n_classes} classes."
    lines = [f"Softmax regression on a batch of {sizes}", "", *QUESTION.splitlines(), *_map(batch), RULES]
    for part in (_forward, _back_to_logits, _back_to_weights, _squared_error):
        lines += part(batch)
    return "\n".join(lines)


def _map(batch: Batch) -> Iterator[str]:
    """Forward down the left, back up the right: each gradient stands across from what it is the gradient of."""
    (n, d), c = batch.X.shape, len(batch.weight)
    layer = "times W, times X, times 1"
    rows = (
        ("forward", "back"),
        ("", ""),
        (f"X ({n}, {d})   W ({c}, {d})   b ({c},)", f"dL/dX ({n}, {d})   dL/dW ({c}, {d})   dL/db ({c},)"),
        ("      |", "      ^"),
        ("      |  Z = X W^T + b", f"      |  {layer}"),
        ("      v", "      |"),
        (f"    Z ({n}, {c})", f"    dL/dZ ({n}, {c})"),
        ("      |", "      ^"),
        ("      |  softmax of each row", f"      |  times J ({n}, {c}, {c}), a matrix for each sample, or without it"),
        ("      v", "      |"),
        (f"    P ({n}, {c})", f"    dL/dP ({n}, {c})"),
        ("      |", "      ^"),
        (f"      |  loss, with the targets Y ({n}, {c})", "      |"),
        ("      +--------> L, one number " + "-" * 13, "------+"),
    )
    width = max(42, *(len(left) + 3 for left, _ in rows))
    for left, right in rows:
        fill = "-" if right.startswith("-") else " "
        yield f"    {left.ljust(width, fill)}{right}".rstrip()
    yield ""


def _forward(batch: Batch) -> Iterator[str]:
    yield from _title("1. Forward")
    for step in steps.forward(batch):
        yield from _step(step)


def _back_to_logits(batch: Batch) -> Iterator[str]:
    grad_probs = steps.loss_to_probs(batch)
    jacobian, fast = steps.jacobian(batch), steps.fast(batch, grad_probs.value)
    naive, inner = steps.naive(batch, grad_probs.value), steps.inner(batch, grad_probs.value)
    yield from _title("2. Back to the logits")
    yield from _step(grad_probs)
    yield "    The 1/N of the mean comes in here, once; no later step has another."
    yield ""
    yield "Every p_i depends on every z_j of its sample, through the sum that it is divided by: each sample has a"
    yield "matrix of derivatives. From here to the logits each sample goes its own way, and n is left out."
    yield from _step(jacobian)
    yield from _step(naive)
    pairs = zip(grad_probs.value[0, :4] + 0.0, jacobian.value[0, :4, 0], strict=True)  # -0 is 0
    terms = " + ".join(f"({u:.4f}) ({j:.4f})" for u, j in pairs)
    more = " + ..." if batch.probs.shape[1] > 4 else ""
    yield f"    the first number: {terms}{more} = {naive.value[0, 0]:.4f}"
    yield "    J is symmetric, so J times the column dL/dp gives the same: vjp and jvp of softmax are one map."
    yield ""
    yield "Put p_i (delta_ij - p_j) for J_ij, and write <a, b> for the inner product sum_i a_i b_i:"
    yield "    sum_i dL/dp_i p_i delta_ij - sum_i dL/dp_i p_i p_j  =  dL/dp_j p_j - p_j <dL/dp, p>"
    yield from _step(inner)
    yield from _step(fast)
    yield _verdict("The two ways", naive.value, fast.value)
    yield ""
    yield "With cross-entropy it collapses: p_j dL/dp_j = -1/N y_j, and <dL/dp, p> = -1/N sum_i y_i = -1/N, so"
    collapsed = steps.collapsed(batch)
    yield from _step(collapsed)
    yield _verdict("The formula and the chain rule", collapsed.value, fast.value)


def _back_to_weights(batch: Batch) -> Iterator[str]:
    outer, grad_weight, *others = steps.to_weights(batch)
    yield from _title("3. Back to the weights, with G = dL/dZ")
    yield "z_nc = sum_d X_nd W_cd + b_c: every sample uses W_cd, with its own factor X_nd, and b_c, with the factor 1."
    yield "So both gradients are sums over the samples. X_nd is used by every class, with W_cd: a sum over the classes."
    yield from _step(outer)
    yield from _step(grad_weight)
    yield _verdict("The sum of outer products and the matrix product", outer.value.sum(axis=0), grad_weight.value)
    for step in others:
        yield from _step(step)


def _squared_error(batch: Batch) -> Iterator[str]:
    grad_probs, naive, inner, fast = steps.squared_error(batch)
    yield from _title("4. Another loss: squared error")
    yield "Only dL/dP is another. J, the two ways and the way on to the weights stay as they are."
    for step in (grad_probs, naive, inner, fast):
        yield from _step(step)
    yield _verdict("The two ways", naive.value, fast.value)
    yield ""
    yield "Here nothing cancels: no p_j is divided by, and the factor p_j stays."
    yield _verdict("2/N (P - Y) and the chain rule", grad_probs.value, fast.value)


def _title(text: str) -> Iterator[str]:
    yield from ("", text, "=" * len(text))


def _step(step: Step) -> Iterator[str]:
    numbers = ", ".join(str(n) for n in step.value.shape) + ("," if step.value.ndim == 1 else "")
    yield ""
    yield f"{step.title}    {step.shape} = ({numbers})" if numbers else f"{step.title}    a scalar"
    said = (
        ("in components", step.components),
        ("as matrices", step.matrices),
        ("in NumPy", step.numpy),
        ("in fastsoftmax", step.fast),
    )
    for label, text in said:
        for number, line in enumerate(text.splitlines()):
            yield f"    {'' if number else label:<14}    {line}"
    shown = step.value + 0.0  # -0 is 0
    text = np.array2string(
        shown, precision=4, suppress_small=True, floatmode="fixed", threshold=200, max_line_width=116
    )
    yield from (f"    {line}".rstrip() for line in text.splitlines())


def _verdict(what: str, a: Array, b: Array) -> str:
    difference = float(np.abs(a - b).max())
    equal = difference <= 64 * np.finfo(np.float64).eps * max(1.0, float(np.abs(a).max()))
    return f"    -> {what} {'are equal' if equal else 'differ'}: the largest difference is {difference:.1e}"
