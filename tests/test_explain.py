"""The explanation: every shape is named with its numbers, and what it prints is right."""

import json
import re

import numpy as np
import pytest

import fastsoftmax as fs
from fastsoftmax.cli import backpropagation as steps
from fastsoftmax.cli.explain import explain
from fastsoftmax.cli.main import main


def matrix_after(text, line_start):
    """The numbers printed below the step that begins with line_start."""
    printed = re.search(r"(?:^\s*\[.*\n|^\n)+", text.split(f"\n{line_start}", 1)[1], re.MULTILINE)[0]
    rows = [[float(n) for n in re.findall(r"-?\d+\.\d+", line)] for line in printed.splitlines()]
    return np.array([row for row in rows if row])


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
    assert [verdict for _, verdict in verdicts] == [*["are equal"] * 4, "differ"]
    assert "the first number: (-4.9426) (0.0909) + (0.0000) (-0.0477) + (0.0000) (-0.0432) = -0.4494" in text
    assert "-0.0000 " not in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_map():
    """Each gradient stands across from what it is the gradient of, with the same shape."""
    rows = explain(2, 4, 3).split("\n1. Forward")[0].splitlines()
    across = [re.findall(r"(dL/d)?(\w) (\([\d, ]+\))", row) for row in rows if "dL/d" in row and "(2" in row]
    assert [len(found) for found in across] == [6, 2, 2]
    for found in across:
        half = len(found) // 2
        assert [(name, shape) for _, name, shape in found[:half]] == [(name, shape) for _, name, shape in found[half:]]
        assert [grad for grad, *_ in found] == [""] * half + ["dL/d"] * half


def test_the_code_gives_the_numbers():
    """All lines of NumPy one after the other, and those of fastsoftmax, as the reader would type them."""
    batch = steps.random_batch(3, 4, 5, 1)
    given = {"X": batch.X, "W": batch.weight, "b": batch.bias, "labels": batch.labels, "N": 3, "C": 5}
    by_numpy, by_fast = {"np": np, **given}, {"np": np, "fs": fs, **given}
    n_fast = 0
    for step in (*steps.main_way(batch), *steps.squared_error(batch)):
        exec(step.numpy, by_numpy)
        exec(f"{step.numpy}\n{step.fast}", by_fast)  # where it says that nothing is called, NumPy's stays
        key = step.key.rstrip("2")
        name = {"naive": "dZ", "fast": "dZ", "inner": "s"}.get(key, key)
        np.testing.assert_allclose(by_numpy[name], step.value, rtol=1e-13, atol=1e-15, err_msg=step.numpy)
        np.testing.assert_allclose(by_fast[name], step.value, rtol=1e-13, atol=1e-15, err_msg=step.fast)
        n_fast += "fs." in step.fast
    assert n_fast == 7


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


def test_json_has_every_step_in_full(capsys):
    assert main(["explain", "--json", "--samples", "3", "--classes", "2", "--seed", "5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sizes"] == {"N": 3, "D": 4, "C": 2}
    values = {key: np.array(step["value"]) for key, step in found["steps"].items()}
    np.testing.assert_allclose(values["Z"], values["X"] @ values["W"].T + values["b"], rtol=1e-12)
    np.testing.assert_allclose(values["dW"], values["dZ"].T @ values["X"], rtol=1e-12)
    assert [found["steps"]["J"]["axes"], values["J"].shape] == [["N", "C", "C"], (3, 2, 2)]
    with pytest.raises(SystemExit, match="2"):
        main(["explain", "--json", "--html", "page.html"])
