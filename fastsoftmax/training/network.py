"""What a model computes, apart from data: its layers, and where their weights lie among all parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fastsoftmax import functional, kernels
from fastsoftmax._gate.arrays import Array

ACTIVATIONS = {"identity": 0, "logistic": 1, "tanh": 2, "relu": 3}  # and the numbers that kernels know them by


@dataclass(frozen=True)
class Network:
    """Dense layers with an activation between them; a single layer is softmax regression.

    Attributes
    ----------
    sizes : ndarray of int64
        n_features, the units of each hidden layer, n_classes.
    activation : {"identity", "logistic", "tanh", "relu"}
    """

    sizes: Array
    activation: str = "relu"

    @property
    def n_params(self) -> int:
        """How many weights and biases."""
        return sum(int(n_out * (n_in + 1)) for n_in, n_out in pairwise(self.sizes))

    @property
    def is_linear(self) -> bool:
        """Whether there is no hidden layer."""
        return len(self.sizes) == 2

    def layers(self, params: Array) -> list[tuple[Array, Array]]:
        """Weight (n_out, n_in) and bias (n_out,) of each layer, as views of all parameters."""
        views, at = [], 0
        for n_in, n_out in pairwise(map(int, self.sizes)):
            end = at + n_out * n_in
            views.append((params[at:end].reshape(n_out, n_in), params[end : end + n_out]))
            at = end + n_out
        return views


def layer_inputs(X: Any, layers: Sequence[tuple[Array, Array]], activation: str) -> list[Any]:
    """What each dense layer is given: X, then the activations of the hidden layers."""
    inputs = [X]
    for weight, bias in layers[:-1]:
        inputs.append(functional.dense(inputs[-1], weight, bias))
        kernels.activate(inputs[-1], ACTIVATIONS[activation])
    return inputs
