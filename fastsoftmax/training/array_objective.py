"""F on arrays: rows in this process's memory, in any order, by any way back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastsoftmax import functional, kernels
from fastsoftmax._gate.arrays import Array, contiguous
from fastsoftmax._gate.samples import Samples
from fastsoftmax._gate.targets import split_targets
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.line_search import SEARCH_SIZE
from fastsoftmax.kernels.fit.optimizers import METHOD
from fastsoftmax.training.backward import BACKWARD, Options
from fastsoftmax.training.network import ACTIVATIONS, Network, layer_inputs
from fastsoftmax.training.objective import EpochObjective
from fastsoftmax.training.parts import ArrayParts
from fastsoftmax.training.tasks import probs_of

MOST_AT_ONCE = 2**22  # elements of an evaluation of F: 1 ms or so; then calls from Python are nothing beside it
CALL_WORK = 2**25  # elements in one call at the most, unless a batch has more: 10 to 100 ms


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
        rows = LOSSES[self.loss].number, part.rows, self.terms.targets(part, self.dtype), part.losses, self.total
        constants = *rows, scaling, self.network.sizes, self._penalty, np.empty(SEARCH_SIZE)
        return partial(run, kernels.linear_loss_iteration, max(work, self.network.n_params), *constants)

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
        loss, activation = LOSSES[self.loss].number, ACTIVATIONS[self.network.activation]
        network, steps = (params, self.network.sizes, activation), (self._penalty, np.empty_like(params), *descent)
        work = self.batch_work(int(self.X.size), len(self.targets), batch_size, descent[-1][METHOD])
        targets = (*self.by_kind, self.sample_weight, self._no_class_weight, self.label_smoothing)
        loss_sum, weight_sum = 0.0, 0.0
        rows = batch_size * max(1, CALL_WORK // work)
        for first in range(0, len(order), rows):  # an interrupt comes between two calls
            here = order[first : first + rows]
            sums = run(kernels.network_loss_epoch, work, loss, self.rows, *targets, *network, here, batch_size, *steps)
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
