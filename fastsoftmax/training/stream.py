"""F on rows that are read part by part in every pass, and epochs over shuffled parts."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array

from fastsoftmax import functional, kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.optimizers import METHOD
from fastsoftmax.training.backward import BY_LOGITS
from fastsoftmax.training.network import ACTIVATIONS, layer_inputs
from fastsoftmax.training.objective import EpochObjective
from fastsoftmax.training.parts import Part, Parts


class PartStream(Parts, Protocol):
    """Parts that are read anew whenever they are asked for.

    Attributes
    ----------
    n_parts, rows_a_part : int
    is_ordered : whether they come in their order alone
    """

    n_parts: int
    rows_a_part: int
    is_ordered: bool

    def read(self, order: Array | None = None, with_X: bool = True) -> Iterator[Part]:
        """Parts by number, or all; one is gone when the next but one is read."""


@dataclass
class HeldOut:
    """Rows of each part that are not trained on, and how they were predicted when their part had been taken.

    Which rows, is up to the number of the part alone.

    Attributes
    ----------
    fraction : of the rows of a part
    """

    fraction: float
    _right: float = 0.0
    _loss: float = 0.0
    _weight: float = 0.0

    def count(self, n_rows: int) -> int:
        """How many of so many rows: one is left to train on."""
        return min(math.ceil(self.fraction * n_rows), n_rows - 1)

    def divide(self, part: Part) -> tuple[Array, Array]:
        """The rows to train on, in their order, and the others."""
        n_rows = part.losses.size
        is_held = np.zeros(n_rows, bool)
        is_held[np.random.default_rng(part.number).permutation(n_rows)[: self.count(n_rows)]] = True
        return np.flatnonzero(~is_held), np.flatnonzero(is_held)

    def look(self, part: Part, rows: Array, objective: "StreamObjective", params: Array) -> None:
        """Predict some rows of a part."""
        labels, distribution = part.by_kind
        targets = labels[rows] if labels.size else distribution[rows]
        hard = targets if labels.size else targets.argmax(axis=1)
        weight = part.sample_weight[rows] if part.sample_weight.size else np.ones(len(rows))
        X, layers = rows_of(part, rows, objective.parts.n_features), objective.network.layers(params)
        logits = functional.dense(layer_inputs(X, layers, objective.network.activation)[-1], *layers[-1])
        options: dict[str, Any] = {"sample_weight": weight, "label_smoothing": objective.label_smoothing}
        self._loss += float(BY_LOGITS[objective.loss][0](logits, targets, reduction="sum", **options))
        self._right += float(weight @ (logits.argmax(axis=1) == hard))
        self._weight += float(weight.sum())

    def score(self, params: Array) -> tuple[float, float]:
        """Accuracy and mean loss since the last call: of the epoch, as it was met."""
        right, loss, weight = self._right, self._loss, self._weight
        self._right = self._loss = self._weight = 0.0
        if not weight > 0:
            raise ValueError("the samples that are held out have no weight: raise validation_fraction")
        return right / weight, loss / weight


def rows_of(part: Part, rows: Array, n_features: int) -> Any:
    """Some rows of X, as a matrix."""
    if isinstance(part.rows, tuple):
        return csr_array(part.rows, shape=(part.losses.size, n_features))[rows]
    return part.rows[rows]


class StreamObjective(EpochObjective):
    """F on parts that are read.

    An epoch of sgd or adam takes the parts in another order each time (unless they come in one order alone), and the
    rows of each part in another order, a part after the other: a batch has rows of one part, and the last batch of a
    part may be smaller.

    Attributes
    ----------
    held_out : rows that epochs leave out, or None
    """

    parts: PartStream
    held_out: HeldOut | None = None

    @property
    def rows_an_epoch(self) -> int:
        """Those that are not held out."""
        if self.held_out is None:
            return self.parts.n_rows
        whole, rest = divmod(self.parts.n_rows, rows := self.parts.rows_a_part)
        return self.parts.n_rows - whole * self.held_out.count(rows) - (self.held_out.count(rest) if rest else 0)

    def first_order(self) -> Array:
        """The parts."""
        return np.arange(self.parts.n_parts)

    def epoch(
        self, params: Array, order: Array, shuffling: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> float:
        """Every row once, a step after each batch: F as it was met."""
        if shuffling.size and not self.parts.is_ordered:
            kernels.shuffle(order, shuffling)
        loss, activation = LOSSES[self.loss].number, ACTIVATIONS[self.network.activation]
        network, steps = (params, self.network.sizes, activation), (self._penalty, np.empty_like(params), *descent)
        loss_sum, weight_sum = 0.0, 0.0
        with closing(self.parts.read(None if self.parts.is_ordered else order)) as parts:  # type: ignore[type-var]
            for part in parts:
                rows, held = np.arange(part.losses.size), np.empty(0, np.int64)
                if self.held_out is not None:
                    rows, held = self.held_out.divide(part)
                if shuffling.size:
                    kernels.shuffle(rows, shuffling)
                work = self.batch_work(part.n_numbers, part.losses.size, batch_size, descent[-1][METHOD])
                targets = self.terms.targets(part, params.dtype)
                given = (loss, part.rows, *targets, *network, rows, batch_size, *steps)
                sums = run(kernels.network_loss_epoch, work, *given)
                loss_sum, weight_sum = loss_sum + sums[0], weight_sum + sums[1]
                if self.held_out is not None:
                    self.held_out.look(part, held, self, params)
        if not weight_sum > 0:
            raise ValueError("the samples that are trained on have no weight: lower validation_fraction")
        return loss_sum / weight_sum
