"""The explanation: every shape is named with its numbers, and what it prints is right."""

import re

import numpy as np
import pytest

from fastsoftmax.cli.explain import explain


def matrix_after(text, line_start):
    """The numbers printed below the step that begins with line_start."""
    lines = text.split(f"\n{line_start}", 1)[1].splitlines()[1:]
    numbers = []
    for line in lines:
        if line.strip().startswith(("in components", "as matrices")):
            continue
        if line.strip() and not line.strip().startswith("["):
            break
        numbers.append([float(n) for n in re.findall(r"-?\d+\.\d+", line)])
    return np.array([row for row in numbers if row])


def test_the_numbers_are_those_of_backpropagation():
    text = explain(2, 4, 3)
    X, weight = matrix_after(text, "X, the samples"), matrix_after(text, "W, the weights")
    bias, labels = matrix_after(text, "b, the biases"), matrix_after(text, "Y, the targets")
    logits = X @ weight.T + bias
    np.testing.assert_allclose(matrix_after(text, "Z, the logits"), logits, atol=1e-4)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(matrix_after(text, "P, the probabilities"), probs, atol=1e-4)
    jacobian = np.stack([np.diag(p) - np.outer(p, p) for p in probs])
    np.testing.assert_allclose(matrix_after(text, "J, the Jacobian").reshape(2, 3, 3), jacobian, atol=1e-4)
    grad_logits = (probs - labels) / 2
    for step in ("dL/dZ the naive way", "dL/dZ the fast way", "dL/dZ = (P - Y) / N"):
        np.testing.assert_allclose(matrix_after(text, step), grad_logits, atol=1e-4)
    np.testing.assert_allclose(matrix_after(text, "dL/dW"), grad_logits.T @ X, atol=2e-4)
    np.testing.assert_allclose(matrix_after(text, "dL/db"), [grad_logits.sum(axis=0)], atol=1e-4)
    np.testing.assert_allclose(matrix_after(text, "dL/dX"), grad_logits @ weight, atol=1e-4)
    squared = text[text.index("squared error") :]
    expected = np.einsum("ni,nij->nj", (probs - labels), jacobian)
    np.testing.assert_allclose(matrix_after(squared, "dL/dZ the fast way"), expected, atol=1e-4)


def test_shapes_formulas_and_verdicts():
    text = explain(2, 4, 3)
    for shape in (
        "(N, D) = (2, 4)",
        "(C, D) = (3, 4)",
        "(N, C) = (2, 3)",
        "(N, C, C) = (2, 3, 3)",
        "(N, C, D) = (2, 3, 4)",
    ):
        assert shape in text
    for formula in (
        "z_nc = sum_d X_nd W_cd + b_c",
        "J_ij = dp_i/dz_j = p_i (delta_ij - p_j)",
        "dL/dz_j = sum_i dL/dp_i J_ij",
        "dL/dz_j = p_j (dL/dp_j - <dL/dp, p>)",
        "dL/dz_nc = 1/N (p_nc - y_nc)",
        "dL/dW_cd = sum_n G_nc X_nd",
        "G^T X    (C, N) (N, D)",
    ):
        assert formula in text
    verdicts = re.findall(r"-> (.*) (are equal|differ):", text)
    assert [verdict for _, verdict in verdicts] == ["are equal", "are equal", "are equal", "differ", "are equal"]
    assert "the first number: (-4.9426) (0.0909) + (0.0000) (-0.0477) + (0.0000) (-0.0432) = -0.4494" in text
    assert "-0.0000 " not in text
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 1, 2), (3, 2, 5)])
def test_any_size(sizes):
    text = explain(*sizes, random_state=4)
    assert text.startswith(
        "Softmax regression on a batch of N = {} samples with D = {} features, C = {} cl".format(*sizes)
    )
    assert text != explain(*sizes, random_state=5) or sizes == (1, 1, 1)


def test_sizes_below_one():
    for sizes, name in (((0, 1, 1), "n_samples"), ((1, 0, 1), "n_features"), ((1, 1, -1), "n_classes")):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            explain(*sizes)
