"""A training by sgd or adam that has not ended: what it needs, besides weights and DescentState, to go on as if it had
not been interrupted, bit for bit.
"""

from typing import Any, NamedTuple

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.training.descent import Descent, DescentState


class Split(NamedTuple):
    """The samples that are trained on and those that early stopping leaves out; empty without it, and of sources."""

    rows: Array
    held: Array


class Unfinished(NamedTuple):
    """Between two epochs; see Descent.

    Attributes
    ----------
    rows, held : the Split
    order, best_params : of Descent; without early stopping best_params is empty
    best, idle, scores, validation_losses : of Descent
    loss_curve : of all epochs so far
    """

    rows: Array
    held: Array
    order: Array
    best_params: Array
    best: float
    idle: int
    scores: list[float]
    validation_losses: list[float]
    loss_curve: list[float]

    def restore(self, solver: Descent) -> None:
        """Let the solver go on from here."""
        solver.order, solver.epochs = self.order.copy(), len(self.loss_curve)
        solver.best_params = self.best_params.copy() if self.best_params.size else None
        solver.best, solver.idle = self.best, self.idle
        solver.scores, solver.validation_losses = list(self.scores), list(self.validation_losses)

    def check(self, descent: DescentState | None) -> None:
        """Raise unless the arrays fit one another and those of the solver: kernels take rows by these numbers."""
        if descent is None:
            raise ValueError("its training has no state of sgd or adam")
        n_rows = self.rows.size if self.held.size else self.order.size
        everything = np.concatenate([self.rows, self.held]) if self.held.size else self.order
        kinds = {array.dtype for array in (self.rows, self.held, self.order)}
        like = descent.moment if self.held.size or self.best_params.size else descent.moment[:0]
        if (
            kinds != {np.dtype(np.int64)}
            or not (_is_permutation(self.order) and _is_permutation(everything))
            or (self.rows.size > 0) != (self.held.size > 0)
            or self.order.size != n_rows
            or (self.best_params.shape, self.best_params.dtype) != (like.shape, like.dtype)
        ):
            raise ValueError("its training cannot be gone on with")


def _is_permutation(numbers: Array) -> bool:
    return numbers.ndim == 1 and np.array_equal(np.sort(numbers), np.arange(numbers.size))


def unfinished_of(solver: Descent, split: Split, loss_curve: list[float]) -> Unfinished:
    """As it is now, in arrays that the solver goes on to change."""
    assert solver.order is not None
    best_params = solver.state.moment[:0] if solver.best_params is None else solver.best_params
    curves = solver.scores, solver.validation_losses, loss_curve
    return Unfinished(*split, solver.order, best_params, solver.best, solver.idle, *curves)


def misfit(
    unfinished: Unfinished,
    descent: DescentState | None,
    params: Array,
    n_units: int,
    is_array: bool,
    early_stopping: bool,
) -> str | None:
    """Why a training cannot go on with this solver, these weights and data; None if it can.

    n_units: samples of an array, parts of what is read.
    """
    n_before = unfinished.order.size + unfinished.held.size
    if descent is None:
        return "it was by another solver"
    if bool(unfinished.best_params.size) != early_stopping:
        return "early_stopping was another"
    if bool(unfinished.held.size) != (early_stopping and is_array):
        return "it was on a source, and this is an array" if is_array else "it was on an array, and this is a source"
    if n_before != n_units:
        here = f"{n_units} {'samples' if is_array else 'parts'}"
        return f"it was on {n_before} samples or parts of a source, and there are {here}"
    if (descent.moment.shape, descent.moment.dtype) != (params.shape, params.dtype):
        return "the classes or the dtype are others"
    return None


def plain(unfinished: Unfinished) -> tuple[dict[str, Any], dict[str, Array]]:
    """The numbers and the arrays, by name."""
    fields = unfinished._asdict()
    arrays = {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}
    return {name: value for name, value in fields.items() if name not in arrays}, arrays
