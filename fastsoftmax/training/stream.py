"""F on rows that are read part by part in every pass, and epochs over shuffled parts."""

from collections.abc import Iterator
from contextlib import closing
from typing import Protocol

import numpy as np

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import run
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.optimizers import METHOD
from fastsoftmax.training.network import ACTIVATIONS
from fastsoftmax.training.objective import EpochObjective
from fastsoftmax.training.parts import Part, Parts


class PartStream(Parts, Protocol):
    """Parts that are read anew whenever they are asked for.

    Attributes
    ----------
    n_parts : int
    is_ordered : whether they come in their order alone
    """

    n_parts: int
    is_ordered: bool

    def read(self, order: Array | None = None, with_X: bool = True) -> Iterator[Part]:
        """Parts by number, or all; one is gone when the next but one is read."""


class StreamObjective(EpochObjective):
    """F on parts that are read.

    An epoch of sgd or adam takes the parts in another order each time (unless they come in one order alone), and the
    rows of each part in another order, a part after the other: a batch has rows of one part, and the last batch of a
    part may be smaller.
    """

    parts: PartStream

    def first_order(self) -> Array:
        """The parts."""
        return np.arange(self.parts.n_parts)

    def epoch(
        self, params: Array, order: Array, shuffling: Array, batch_size: int, descent: tuple[Array, ...]
    ) -> float:
        """Every row once, a step after each batch: F as it was met."""
        if shuffling.size and not self.parts.is_ordered:
            kernels.shuffle(order, shuffling)
        kernel, activation = LOSSES[self.loss].network_epoch, ACTIVATIONS[self.network.activation]
        network, steps = (params, self.network.sizes, activation), (self._penalty, np.empty_like(params), *descent)
        loss_sum, weight_sum = 0.0, 0.0
        with closing(self.parts.read(None if self.parts.is_ordered else order)) as parts:  # type: ignore[type-var]
            for part in parts:
                rows = np.arange(part.losses.size)
                if shuffling.size:
                    kernels.shuffle(rows, shuffling)
                work = self.batch_work(part.n_numbers, len(rows), batch_size, descent[-1][METHOD])
                targets = self.terms.targets(part, params.dtype)
                sums = run(kernel, work, part.rows, *targets, *network, rows, batch_size, *steps)
                loss_sum, weight_sum = loss_sum + sums[0], weight_sum + sums[1]
        return loss_sum / weight_sum
