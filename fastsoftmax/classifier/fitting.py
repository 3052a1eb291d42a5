"""One fit, from data that have been read to an outcome: the objective is put together and trained.

Options go in and an Outcome comes back; the estimator keeps it, and knows who is told of each iteration.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.labels import Labels, class_totals, read_class_weight, weigh
from fastsoftmax.classifier.options import Options, solver_of
from fastsoftmax.classifier.reports import Report, warn
from fastsoftmax.classifier.streams import Encoding, Stream
from fastsoftmax.classifier.unfinished import Split, Unfinished, unfinished_of
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.backward import BY_LOGITS
from fastsoftmax.training.descent import Descent, DescentState
from fastsoftmax.training.loop import Solver, Training, train
from fastsoftmax.training.network import Network, layer_inputs
from fastsoftmax.training.objective import Objective
from fastsoftmax.training.parts import Node, Part, Sums, Tree, part_rows
from fastsoftmax.training.proximal import ProximalNewton
from fastsoftmax.training.proximal_lbfgs import ProximalLBFGS
from fastsoftmax.training.stream import HeldOut, StreamObjective

CURE = "features of a like scale (StandardScaler)"
FEW = 5  # features that a warning names


@dataclass(frozen=True)
class Data:
    """Samples, what is to be predicted of them, and their weights (an empty array: all 1)."""

    X: Any
    labels: Labels
    by_row: Array

    def take(self, rows: Array) -> "Data":
        """Some of the samples."""
        return Data(self.X[rows], self.labels.take(rows), self.by_row[rows] if self.by_row.size else self.by_row)

    def order_size(self, network: Network) -> int:
        """How many there are of what an epoch takes in another order each time: samples."""
        return int(self.X.shape[0])

    def for_callbacks(self) -> dict[str, Any]:
        """As scikit-learn's callbacks are given them; what is callable is called when it is asked for."""
        metadata = {"sample_weight": self.by_row} if self.by_row.size else None
        return {"X": self.X, "y": lambda: self.labels.classes[self.labels.hard], "metadata": metadata}


@dataclass(frozen=True)
class Problem:
    """What is minimised, from where, and how."""

    options: Options
    network: Network
    params: Array
    objective: Objective
    solver: Solver
    max_iter: int | None
    split: Split
    loss_curve: list[float]  # of an earlier part of this training


@dataclass(frozen=True)
class Outcome:
    """What came out of a fit.

    Attributes
    ----------
    params : the last good ones
    training : its loss curve, and how it ended
    dual_gap : with L1, and of coordinate-descent; else None
    seen, scores, validation_losses : of sgd and adam, samples so far (else None), and of the samples that were held out
        score and loss after each epoch
    """

    network: Network
    params: Array
    training: Training
    is_stochastic: bool
    dual_gap: float | None
    seen: int | None
    scores: list[float] | None
    validation_losses: list[float] | None
    left_out: Array
    far_from_zero: Array

    @property
    def n_iter(self) -> Any:
        """As LogisticRegression has it, and for a network or a stochastic solver as MLPClassifier."""
        n_iter = len(self.training.loss_curve)
        as_array = not self.is_stochastic and len(self.network.sizes) == 2
        return np.array([n_iter], np.int32) if as_array else n_iter


Keep = Callable[[Callable[[], tuple[Outcome, Unfinished | None]]], None]


def pose(
    options: Options,
    network: Network,
    params: Array,
    data: Data | Stream,
    rng: np.random.RandomState,
    descent: DescentState | None,
    seen: int,
    max_iter: int | None,
    unfinished: Unfinished | None = None,
) -> Problem:
    """Put objective and solver together. max_iter None: an epoch of partial_fit. descent, seen: see solver_of.

    unfinished: the training that goes on.
    """
    validate, split = None, Split(np.empty(0, np.int64), np.empty(0, np.int64))
    objective: Objective
    if isinstance(data, Data):
        totals = lambda: totals_by_class(data, network)  # noqa: E731
        class_weight = read_class_weight(options.class_weight, data.labels.classes, totals, params.dtype)
        some = data
        if descent is not None and options.early_stopping:
            split = _split(options, data, rng) if unfinished is None else Split(unfinished.rows, unfinished.held)
            some, validate = data.take(split.rows), _validation(options, network, data.take(split.held))
        labels, by_row = weigh(options.loss, some.labels, some.by_row, class_weight)
        objective = objective_of(options, network, Data(some.X, labels, by_row))
    else:
        objective = _stream_objective(options, network, data)
        if descent is not None and options.early_stopping and isinstance(objective, StreamObjective):
            objective.held_out = HeldOut(options.validation_fraction)
            validate = objective.held_out.score
    solver = solver_of(options, objective.parts.n_rows, descent, seen, validate, max_iter or 1)
    if unfinished is not None and isinstance(solver, Descent):
        unfinished.restore(solver)
    return Problem(
        options, network, params, objective, solver, max_iter, split, unfinished.loss_curve if unfinished else []
    )


def solve(problem: Problem, report: Report, keep: Keep | None = None) -> Outcome:
    """Train; report is told of each iteration, and may ask to stop.

    keep is given, after each iteration but the last, a function that makes the Outcome so far and what goes on from it.
    """
    solver, curve = problem.solver, list(problem.loss_curve)

    def so_far(params: Array) -> tuple[Outcome, Unfinished | None]:
        outcome = _outcome(problem, params, Training(list(curve)))
        return outcome, unfinished_of(solver, problem.split, list(curve)) if isinstance(solver, Descent) else None

    def told(params: Array, loss: float) -> bool:
        curve.append(loss)
        stop = report(params, loss)
        if keep is not None and not stop and not isinstance(solver, Descent):
            keep(lambda: so_far(params))
        return stop

    if keep is not None and isinstance(solver, Descent):
        solver.after_epoch = lambda params: keep(lambda: so_far(params))
    training = train(problem.objective, problem.params, solver, told)
    training.loss_curve[:0] = problem.loss_curve
    return _outcome(problem, problem.params, training)


def _outcome(problem: Problem, params: Array, training: Training) -> Outcome:
    solver = problem.solver
    descent = solver if isinstance(solver, Descent) else None
    coordinates = solver.coordinates
    none = np.empty(0, np.intp)
    return Outcome(
        problem.network,
        params,
        training,
        is_stochastic=descent is not None,
        dual_gap=solver.dual_gap if isinstance(solver, (ProximalNewton, ProximalLBFGS)) else None,
        seen=descent.seen if descent else None,
        scores=(descent.scores or None) if descent else None,
        validation_losses=(descent.validation_losses or None) if descent else None,
        left_out=coordinates.out_of_range if coordinates else none,
        far_from_zero=coordinates.far_from_zero if coordinates else none,
    )


def tell(problem: Problem, outcome: Outcome, feature_names: Array | None) -> None:
    """Raise or warn where the training did not end well."""
    training, max_iter, solver = outcome.training, problem.max_iter, problem.options.solver
    n_iter = len(training.loss_curve)
    if training.failed:
        raise ValueError(
            f"the loss was not finite after {n_iter} good iterations, whose weights the classifier has. "
            f"Cure: {CURE}, a smaller learning_rate_init"
        )
    if training.interrupted:
        warn(f"Training interrupted by user after {n_iter} iterations: the last good weights are kept")
    elif max_iter is not None and not training.converged and not training.stopped:
        if n_iter >= max_iter:
            message = f"Maximum iterations ({max_iter}) reached and the optimization hasn't converged yet"
        else:
            message = f"no step goes down after {n_iter} iterations, though the gradient is not small: rounding"
        far = _names(feature_names, outcome.far_from_zero)
        message += f". Cure: a larger max_iter, {CURE}, a larger alpha or tol" + (
            f"; above all for {far}, which vary little for their distance from 0" if far else ""
        )
        warn(f"{solver}: {message}", ConvergenceWarning)
    if outcome.left_out.size:
        names, dtype = _names(feature_names, outcome.left_out), outcome.params.dtype
        message = f"left out, because {dtype} cannot hold weights for so small or large values: {names}"
        warn(f"{solver}: {message}. Cure: {CURE}", ConvergenceWarning)


def _names(known: Array | None, features: Array) -> str:
    """The features by name, or else by number; the first ones of many."""
    named = [f"feature {d}" if known is None else f"feature {known[d]!r}" for d in features[:FEW]]
    return ", ".join(named) + (f" and {len(features) - FEW} more" if len(features) > FEW else "")


def objective_of(options: Options, network: Network, data: Data) -> ArrayObjective:
    shared = _terms(options, network)
    objective = ArrayObjective(data.X, data.labels.targets, network, data.by_row, backward=options.backward, **shared)
    _check_total(objective)
    return objective


def _stream_objective(options: Options, network: Network, stream: Stream) -> Objective:
    """That of data which are read or lie elsewhere; the weights of the classes may take a pass before."""
    classes, dtype, n_units = stream.found.classes, stream.found.dtype, int(network.sizes[1])
    plain = Encoding(classes, np.empty(0, dtype), options.loss, dtype)
    totals = lambda: stream.parts(plain, n_units).fold(_class_totals_of_part, len(classes))  # noqa: E731
    class_weight = read_class_weight(options.class_weight, classes, totals, dtype)
    parts = stream.parts(Encoding(classes, class_weight, options.loss, dtype), n_units)
    objective = stream.objective(parts, network, _terms(options, network))
    _check_total(objective)
    return objective


def _terms(options: Options, network: Network) -> dict[str, Any]:
    return {
        "loss": options.loss,
        "alpha": options.alpha * (1 - options.l1_ratio),
        "l1": options.alpha * options.l1_ratio,
        "label_smoothing": options.label_smoothing,
        "fit_intercept": options.fit_intercept,
        "pins_first_class": int(network.sizes[-1]) == 2,
    }


def _check_total(objective: Objective) -> None:
    if objective.total == 0:
        raise ValueError("sample_weight and class_weight leave no sample of any class a weight above 0")


def totals_by_class(data: Data, network: Network) -> Sums:
    """The weights of samples, by class and of all; part by part, so that they are those of a stream."""
    targets, tree = data.labels.targets, Tree()
    size = part_rows(data.X.shape[1], int(network.sizes[1]), not isinstance(data.X, np.ndarray))
    for number, first in enumerate(range(0, len(targets), size)):
        some = targets[first : first + size], data.by_row[first : first + size]
        tree.put(Node(0, number, class_totals(*some, len(data.labels.classes))))
    return tree.total()


def _class_totals_of_part(part: Part, n_classes: int) -> Sums:
    labels, distribution = part.by_kind
    return class_totals(labels if labels.size else distribution, part.sample_weight, n_classes)


def _split(options: Options, data: Data, rng: np.random.RandomState) -> Split:
    """The samples to train on, and the others."""
    hard = data.labels.hard
    counts, n_held = np.bincount(hard), math.ceil(options.validation_fraction * len(hard))
    if n_held == len(hard):
        raise ValueError(
            f"validation_fraction={options.validation_fraction} of {n_held} samples leaves none to train on"
        )
    fair = counts[counts > 0].min() >= 2 and (counts > 0).sum() <= min(n_held, len(hard) - n_held)
    rows, held = train_test_split(
        np.arange(len(hard)), test_size=n_held, random_state=rng, stratify=hard if fair else None
    )
    if len(held) < 2:
        raise ValueError("the validation set is too small: raise validation_fraction, or have more samples")
    return Split(rows, held)


def _validation(options: Options, network: Network, apart: Data) -> Callable[[Array], tuple[float, float]]:
    """A function of the parameters: their accuracy and their mean loss on the samples that were held out."""
    weight = apart.by_row if apart.by_row.any() else None

    loss_of, smoothing = BY_LOGITS[options.loss][0], options.label_smoothing

    def accuracy_and_loss(params: Array) -> tuple[float, float]:
        layers = network.layers(params)
        logits = functional.dense(layer_inputs(apart.X, layers, network.activation)[-1], *layers[-1])
        right = logits.argmax(axis=1) == apart.labels.hard
        loss = loss_of(logits, apart.labels.targets, sample_weight=weight, label_smoothing=smoothing)
        return float(np.average(right, weights=weight)), float(loss)

    return accuracy_and_loss
