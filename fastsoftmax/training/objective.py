"""What is minimised: a network's loss on data, with its gradient, by one of three ways back through softmax.

    F = 1/S (sum_n s_n loss_n + alpha/2 sum_k |W_k|^2)       S = sum of the weights s_n; biases are not penalised

All parameters lie in one array, layer after layer: weight (n_out, n_in), bias (n_out,). Of two classes the first has
logits 0: its weights and bias stay 0, so that F is that of logistic regression with one logit.

The way back is "fused", loss and gradients in one kernel; "vjp", dL/dp and then softmax_vjp, O(C) a row; or "jacobian",
dL/dp times the Jacobian of each row, built, O(C^2). They tell the compared models apart and differ by rounding.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fastsoftmax import functional, kernels, reference
from fastsoftmax._gate.arrays import Array, contiguous
from fastsoftmax._gate.samples import Samples
from fastsoftmax._gate.targets import split_targets
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.line_search import SEARCH_SIZE
from fastsoftmax.kernels.fit.optimizers import ADAM, METHOD
from fastsoftmax.training.network import ACTIVATIONS as ACTIVATIONS
from fastsoftmax.training.network import Network as Network
from fastsoftmax.training.network import layer_inputs as layer_inputs
from fastsoftmax.training.parts import ArrayParts, Parts
from fastsoftmax.training.spread import Spread
from fastsoftmax.training.tasks import (
    MULTIPLICATIONS,
    Terms,
    hessian_product,
    loss_and_grad,
    probs_of,
    sum_and_largest,
    weight_of_rows,
    whole_hessian,
)

MOST_AT_ONCE = 2**22  # elements of an evaluation of F: 1 ms or so; then calls from Python are nothing beside it
CALL_WORK = 2**25  # elements in one call at the most, unless a batch has more: 10 to 100 ms

Options = dict[str, Any]


Function = Callable[..., Any]
# Of a loss by its name: value, value and gradient in the logits, and the same by the Jacobian
BY_LOGITS: dict[str, tuple[Function, Function, Function]] = {
    "cross_entropy": (
        functional.cross_entropy,
        functional.cross_entropy_value_and_grad,
        reference.cross_entropy_value_and_grad,
    ),
    "squared_error": (
        functional.squared_error,
        functional.squared_error_value_and_grad,
        reference.squared_error_value_and_grad,
    ),
}


def _jacobian(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp times the Jacobian of each row, built: (N, C, C)."""
    result: tuple[float, Array] = BY_LOGITS[loss][2](logits, targets, reduction="sum", **options)
    return result


def _vjp(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """dL/dp, then softmax_vjp: O(C) a row."""
    probs = functional.softmax(logits)
    grad_probs = reference.grad_probs(loss, probs, targets, reduction="sum", **options)
    value: float = BY_LOGITS[loss][0](logits, targets, reduction="sum", **options)
    return value, functional.softmax_vjp(probs, grad_probs)


def _fused(loss: str, logits: Array, targets: Array, options: Options) -> tuple[float, Array]:
    """Loss and dL/dlogits in one kernel (of a whole network: with everything else, see Objective)."""
    result: tuple[float, Array] = BY_LOGITS[loss][1](logits, targets, reduction="sum", **options)
    return result


# The sum of the losses and its gradient in the logits
BACKWARD: dict[str, Callable[[str, Array, Array, Options], tuple[float, Array]]] = {
    "jacobian": _jacobian,
    "vjp": _vjp,
    "fused": _fused,
}


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
    backward : how the derivatives are computed, a key of BACKWARD
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


class ArrayObjective(EpochObjective):
    """F on arrays.

    Attributes
    ----------
    X : ndarray (N, D), C-contiguous float32 or float64, or scipy.sparse CSR of that dtype
    targets : ndarray (N,) of int64, or (N, C) of X's dtype
    sample_weight : ndarray (N,) of float64, or empty: all 1. Class weights have gone into it
    rows : X as kernels take it
    by_kind : targets as labels and as distributions, one of both empty
    """

    def __init__(
        self,
        X: Any,
        targets: Array,
        network: Network,
        sample_weight: Array,
        **options: Any,
    ) -> None:
        self.X, self.rows = X, kernel_samples(X)
        # arrays of a caller's may be read-only: kernels would be compiled once more for those
        self.targets = contiguous(targets, targets.dtype)
        self.sample_weight = contiguous(sample_weight, sample_weight.dtype)
        self._no_class_weight = np.empty(0, X.dtype)
        self.by_kind = split_targets(self.targets, int(network.sizes[-1]), X.dtype)
        parts = ArrayParts(self.rows, X.shape, self.by_kind, self.sample_weight, int(network.sizes[1]))
        super().__init__(parts, network, **options)
        self._array_parts = parts

    def _loss_and_grad(self, params: Array, out: Array) -> tuple[float, Array]:
        if self.backward == "fused":
            return super()._loss_and_grad(params, out)
        return self._by_logits(params, self.first_order(), self.total, out), out

    def iteration(self, scaling: tuple[Array, Array, float]) -> Callable[..., tuple[float, float]] | None:
        """Of a linear model, dense rows of one part, and evaluations that take so little time that calls count."""
        (part, *others), is_dense = self._array_parts.parts, not self.parts.is_sparse
        work = self.terms.work(part)
        if not (self.is_linear and self.backward == "fused" and is_dense) or others or work > MOST_AT_ONCE:
            return None
        rows = part.rows, self.terms.targets(part, self.dtype), part.losses, self.total
        constants = *rows, scaling, self.network.sizes, self._penalty, np.empty(SEARCH_SIZE)
        return partial(run, LOSSES[self.loss].linear_iteration, max(work, self.network.n_params), *constants)

    def _probs(self, params: Array) -> list[Array] | None:
        return [probs_of(part, self.terms, params) for part in self._array_parts]

    def first_order(self) -> Array:
        """The rows."""
        return np.arange(len(self.targets))

    def _by_logits(self, params: Array, rows: Array, total: float, grad: Array) -> float:
        """The loss of some rows over `total`; its gradient, by a way back that needs the logits, goes into grad."""
        way, layers = BACKWARD[self.backward], self.network.layers(params)
        options: Options = {"label_smoothing": self.label_smoothing}
        if self.sample_weight.size:
            options["sample_weight"] = self.sample_weight[rows]
        inputs = layer_inputs(self.X[rows], layers, self.network.activation)
        value, cotangent = way(self.loss, functional.dense(inputs[-1], *layers[-1]), self.targets[rows], options)
        cotangent = cotangent / params.dtype.type(total)
        for k, (grad_weight, grad_bias) in reversed(list(enumerate(self.network.layers(grad)))):
            grad_X, grad_weight[:], grad_bias[:] = functional.dense_vjp(
                inputs[k], layers[k][0], cotangent, with_grad_X=k > 0
            )
            if grad_X is not None:
                kernels.times_slope(grad_X, inputs[k], ACTIVATIONS[self.network.activation])
                cotangent = grad_X
        return float(value) / total

    def epoch(
        self, params: Array, order: Array, shuffling: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> float:
        """Every row once, a step after each batch: F as it was met. descent: see DescentState."""
        if shuffling.size:
            kernels.shuffle(order, shuffling)
        if self.backward != "fused":
            loss_sum, weight_sum = self._epoch_by_logits(params, order, batch_size, descent)
            return loss_sum / weight_sum
        kernel, activation = LOSSES[self.loss].network_epoch, ACTIVATIONS[self.network.activation]
        network, steps = (params, self.network.sizes, activation), (self._penalty, np.empty_like(params), *descent)
        work = self.batch_work(int(self.X.size), len(self.targets), batch_size, descent[-1][METHOD])
        targets = (*self.by_kind, self.sample_weight, self._no_class_weight, self.label_smoothing)
        loss_sum, weight_sum = 0.0, 0.0
        rows = batch_size * max(1, CALL_WORK // work)
        for first in range(0, len(order), rows):  # an interrupt comes between two calls
            here = order[first : first + rows]
            sums = run(kernel, work, self.rows, *targets, *network, here, batch_size, *steps)
            loss_sum, weight_sum = loss_sum + sums[0], weight_sum + sums[1]
        return loss_sum / weight_sum

    def _epoch_by_logits(
        self, params: Array, order: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> tuple[float, float]:
        """The same for rows in this order, batch by batch in Python."""
        loss_sum, weight_sum, grad = 0.0, 0.0, np.empty_like(params)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            by_row = self.sample_weight[rows] if self.sample_weight.size else self.sample_weight
            labels, distribution = self.by_kind
            some = (labels[rows], distribution) if len(labels) else (labels, distribution[rows])
            weight = kernels.weight_taking_part(*some, by_row, self._no_class_weight)[1]
            if weight > 0:
                value = self._by_logits(params, rows, weight, grad)
                value += kernels.penalise(params, self.network.sizes, self._penalty, grad)
                loss_sum, weight_sum = loss_sum + weight * value, weight_sum + weight
                kernels.descend(params, grad, *descent)
        return loss_sum, weight_sum


def kernel_samples(X: Any) -> Any:
    """X as kernels take it: a C-contiguous matrix, or (data, indices, indptr) with rising int32 indices."""
    ((_, rows),) = Samples(X).pieces(X.dtype)
    return rows
