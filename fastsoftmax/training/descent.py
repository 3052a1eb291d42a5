"""sgd and adam: epochs of mini-batches, and MLPClassifier's rules for the learning rate and for when to stop."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.kernels.fit.optimizers import (
    ADAM,
    DECAY,
    DECAY_SQUARES,
    EPSILON,
    METHOD,
    NESTEROV,
    RATE,
    RULE_SIZE,
    SGD,
)
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.loop import AfterIteration
from fastsoftmax.training.objective import EpochObjective, Objective

LEAST_RATE = 1e-6  # of an adaptive learning rate


class DescentState(NamedTuple):
    """What goes on from one call of sgd or adam to the next; see kernels/fit/optimizers.py."""

    moment: Array
    squares: Array
    rule: Array
    shuffling: Array

    def writable(self) -> "DescentState":
        """The same state; copies of arrays that cannot be written, as those are that joblib maps from files."""
        return DescentState(*[np.asarray(a) if a.flags.writeable else np.array(a) for a in self])


@dataclass
class Descent:
    """sgd and adam, by MLPClassifier's rules for the learning rate and for when to stop.

    Attributes
    ----------
    validate : a function of the parameters to a score, which is to grow, and a loss, of samples that were held out; or
        None: then the loss is to fall
    scores, validation_losses : what it gave after each epoch
    seen : samples so far, by which an "invscaling" rate falls
    order : of the samples, in which the last epoch took them (of parts, where they are read one by one); None before
        the first
    best_params : by the score; None without one
    epochs : how many there have been, of max_iter
    after_epoch : called with the parameters when all of the above is as the next epoch finds it
    """

    goes_through_bad: ClassVar[bool] = True
    state: DescentState
    batch_size: int
    max_iter: int
    tol: float
    n_iter_no_change: float
    learning_rate: str = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    validate: Callable[[Array], tuple[float, float]] | None = None
    seen: int = 0
    best: float = math.inf  # what is to fall: the loss, or the score with its sign turned
    idle: int = 0  # epochs in a row without an improvement by tol
    scores: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    order: Array | None = None
    best_params: Array | None = None
    epochs: int = 0
    after_epoch: Callable[[Array], None] = lambda params: None
    coordinates: Coordinates | None = field(default=None, init=False)

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""
        assert isinstance(objective, EpochObjective)  # rows on a cluster have no epochs: the options are refused before
        *descent, shuffling = self.state
        order = self.order = objective.first_order() if self.order is None else self.order
        if self.best_params is None and self.validate is not None:
            self.best_params = params.copy()
        stopped = False
        while self.epochs < self.max_iter:
            loss = objective.epoch(params, order, shuffling, self.batch_size, tuple(descent))
            self.epochs, self.seen = self.epochs + 1, self.seen + objective.rows_an_epoch
            stop = after_iteration(params, loss)
            if self._note(loss if self.validate is None else -self._score(params)) and self.best_params is not None:
                self.best_params[:] = params
            stopped = self._idle_for_long()
            if stop or stopped:
                break
            self.after_epoch(params)
        if self.best_params is not None:
            params[:] = self.best_params
        return stopped

    def _score(self, params: Array) -> float:
        """Of the samples that were held out."""
        assert self.validate is not None
        score, loss = self.validate(params)
        self.scores.append(score)
        self.validation_losses.append(loss)
        return score

    def _note(self, value: float) -> bool:
        """Whether the value is the best so far."""
        self.idle = self.idle + 1 if value > self.best - self.tol else 0
        improved = value < self.best
        self.best = min(self.best, value)
        return improved

    def _idle_for_long(self) -> bool:
        """Whether to stop; else the rate for the next epoch is set."""
        rule = self.state.rule
        if self.learning_rate == "invscaling":
            rule[RATE] = self.learning_rate_init / (self.seen + 1) ** self.power_t
        if self.idle <= self.n_iter_no_change:
            return False
        if self.learning_rate != "adaptive" or rule[RATE] <= LEAST_RATE:
            return True
        rule[RATE] /= 5.0
        self.idle = 0
        return False


def start_descent(
    params: Array,
    *,
    solver: str,
    learning_rate_init: float,
    decays: tuple[float, float],
    nesterovs_momentum: bool,
    epsilon: float,
    seed: int | None,
) -> DescentState:
    """The state at the start. decays: momentum and nothing, or beta_1 and beta_2. seed None: samples in their order."""
    rule = np.zeros(RULE_SIZE)
    rule[METHOD] = ADAM if solver == "adam" else NESTEROV if nesterovs_momentum and decays[0] > 0 else SGD
    rule[RATE], rule[EPSILON] = learning_rate_init, epsilon
    rule[DECAY], rule[DECAY_SQUARES] = decays
    shuffling = np.array([] if seed is None else [seed], np.uint64)
    return DescentState(np.zeros_like(params), np.zeros_like(params), rule, shuffling)
