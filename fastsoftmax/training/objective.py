"""What is minimised: a network's loss on data, with its gradient.

    F = 1/S (sum_n s_n loss_n + alpha/2 sum_k |W_k|^2)       S = sum of the weights s_n; biases are not penalised

All parameters lie in one array, layer after layer: weight (n_out, n_in), bias (n_out,). Of two classes the first has
logits 0: its weights and bias stay 0, so that F is that of logistic regression with one logit.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax.kernels.fit.optimizers import ADAM
from fastsoftmax.training.network import Network
from fastsoftmax.training.parts import Parts
from fastsoftmax.training.spread import Spread
from fastsoftmax.training.tasks import (
    MULTIPLICATIONS,
    Terms,
    hessian_product,
    loss_and_grad,
    sum_and_largest,
    weight_of_rows,
    whole_hessian,
)


@dataclass
class Objective:
    """F and its derivatives on data, whose sums over rows go part by part (parts.py).

    Attributes
    ----------
    parts : Parts
        The rows, with targets and weights; class weights have gone into those.
    network : Network
    pins_first_class : whether the first class has logits 0
    l1 : strength of the L1 penalty, l1/S |W|_1; only proximal.py adds it: value_and_grad is of the smooth part
    total : S
    largest_weight : of a row, or 0: all have weight 1
    backward : how the derivatives are computed, "fused", or a key of backward.BACKWARD
    """

    parts: Parts
    network: Network
    loss: str = "cross_entropy"
    alpha: float = 0.0
    label_smoothing: float = 0.0
    fit_intercept: bool = True
    pins_first_class: bool = False
    l1: float = 0.0
    backward: str = "fused"
    total: float = field(init=False)
    largest_weight: float = field(init=False)

    def __post_init__(self) -> None:
        self._spread: tuple[int, Spread] | None = None
        sums = self.parts.fold(weight_of_rows, self.dtype, combine=sum_and_largest, with_X=False)
        self.total, self.largest_weight = float(sums[0]), float(sums[1])
        self.terms = Terms(self.network, self.loss, self.label_smoothing, self.total)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of parameters and gradients."""
        return self.parts.dtype

    @property
    def is_linear(self) -> bool:
        """Whether there is no hidden layer."""
        return self.network.is_linear

    @property
    def _penalty(self) -> tuple[float, bool, bool]:
        return self.alpha / self.total, self.pins_first_class, self.fit_intercept

    def spread(self, most: int, or_any: bool = False) -> Spread:
        """How the features are spread over the rows, with a sample of so many, or any: the last is kept, for a path."""
        if self._spread is None or (self._spread[0] != most and not or_any):
            self._spread = most, Spread(self.parts, self.largest_weight, self.fit_intercept, most)
        return self._spread[1]

    def value_and_grad(self, params: Array, out: Array | None = None) -> tuple[float, Array]:
        """F and dF/dparams, which is put into `out` if that is given."""
        value, grad = self._loss_and_grad(params, np.empty_like(params) if out is None else out)
        return value + kernels.penalise(params, self.network.sizes, self._penalty, grad), grad

    def _loss_and_grad(self, params: Array, out: Array) -> tuple[float, Array]:
        """F without the penalty, and its gradient."""
        value, grad = self.parts.fold(loss_and_grad, self.terms, params, out=out)
        return value / self.total, grad

    def iteration(self, scaling: tuple[Array, Array, float]) -> Callable[..., tuple[float, float]] | None:
        """An iteration of L-BFGS in such coordinates as one call, where there is one: see kernels/layer/iteration.py.

        The function takes where it begins, and the memory.
        """
        return None

    def hvp(self, params: Array) -> Callable[[Array, Array], Array]:
        """The function (v, out) -> H v, H the Hessian of F at the parameters of a linear model."""
        terms, probs, sizes = self.terms, self._probs(params), self.network.sizes

        def product(vector: Array, out: Array) -> Array:
            (result,) = self.parts.fold(hessian_product, terms, params, vector, probs, out=out)
            kernels.penalise(vector, sizes, self._penalty, result)  # its gradient is linear in the parameters
            return result

        return product

    def _probs(self, params: Array) -> list[Array] | None:
        """Those of each part, where they are kept for several products."""
        return None

    def hessian(self, weight: Array, features: tuple[Array, Array, float], grad: Array, hessian: Array) -> float:
        """The cross-entropy without the penalty, and its gradient and Hessian, for float64 weights (C, D + 1).

        features: mean, scale and bias_scale, of which kernels/layer/hessian.py makes x' of a row; grad (C, D + 1) and
        hessian ((C - 1) (D + 1),) * 2 are filled.
        """
        value, filled, symmetric = self.parts.fold(whole_hessian, self.terms, features, weight, out=(grad, hessian))
        if filled is not grad:  # the sums of a cluster
            grad[:], hessian[:] = filled, symmetric
        return float(value) / self.total


class EpochObjective(Objective, ABC):
    """F on rows that sgd and adam can take batch by batch, because they come to this process."""

    @property
    def rows_an_epoch(self) -> int:
        """How many rows an epoch takes."""
        return self.parts.n_rows

    @abstractmethod
    def first_order(self) -> Array:
        """What an epoch takes in another order each time, in the first one."""

    @abstractmethod
    def epoch(
        self, params: Array, order: Array, shuffling: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> float:
        """Every row once, a step after each batch: F as it was met. descent: see DescentState."""

    def batch_work(self, n_numbers: int, n_rows: int, batch_size: int, method: float) -> int:
        """What a batch and its step take, in elements of a row, where so many rows have so many numbers."""
        n_features, n_units = map(int, self.network.sizes[:2])
        read = n_numbers * n_units // max(1, n_rows)
        later = self.network.n_params - n_features * n_units
        sparse = self.parts.is_sparse  # numbers here and there; and sgd's steps are lazy if these are few
        step = 1 if sparse and method != ADAM else self.network.n_params
        return batch_size * (read // (1 if sparse else MULTIPLICATIONS) + later // MULTIPLICATIONS) + step
