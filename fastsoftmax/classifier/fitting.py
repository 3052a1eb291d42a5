"""One fit of SoftmaxClassifier, from data that have been read to attributes: the objective is put together and trained,
its reports go to bar and callbacks, and what came out is kept in the classifier.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.labels import Labels, read_class_weight, weigh
from fastsoftmax.classifier.options import solver_of
from fastsoftmax.classifier.reports import Callbacks, progress_bar
from fastsoftmax.training.descent import Descent
from fastsoftmax.training.loop import Solver, Training, train
from fastsoftmax.training.objective import Network, Objective, layer_inputs
from fastsoftmax.training.quasi_newton import QuasiNewton

if TYPE_CHECKING:
    from fastsoftmax.classifier.estimator import SoftmaxClassifier

STACK = 5  # frames from a warning to the caller of fit
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

    def for_callbacks(self) -> dict[str, Any]:
        """As scikit-learn's callbacks are given them; what is callable is called when it is asked for."""
        metadata = {"sample_weight": self.by_row} if self.by_row.size else None
        return {"X": self.X, "y": lambda: self.labels.classes[self.labels.hard], "metadata": metadata}


def fit_from(
    model: "SoftmaxClassifier",
    network: Network,
    params: Array,
    data: Data,
    rng: np.random.RandomState,
    max_iter: int | None,
) -> None:
    """Train from the parameters, and keep what comes out; max_iter None: an epoch of partial_fit."""
    class_weight = read_class_weight(model.class_weight, data.labels, data.by_row, params.dtype)
    callbacks = Callbacks(model, max_iter, data.for_callbacks(), lambda now: attributes(network, now))
    validate = None
    if model._descent is not None and model.early_stopping:
        data, validate = _hold_out(model, network, data, rng)
    labels, by_row = weigh(model.loss, data.labels, data.by_row, class_weight)
    objective = _objective(model, network, Data(data.X, labels, by_row), params.dtype)
    solver = solver_of(model, data.X.shape[0], validate, max_iter or 1)
    with progress_bar(bool(model.verbose) and max_iter is not None, type(model).__name__, max_iter or 1) as draw:
        callbacks.begin(params)
        training = train(objective, params, solver, lambda now, loss: draw(now, loss) or callbacks.report(now, loss))
    _keep(model, network, params, training, solver)
    callbacks.end(params)
    _tell(model, training, solver, max_iter)


def _objective(model: "SoftmaxClassifier", network: Network, data: Data, dtype: Any) -> Objective:
    objective = Objective(
        data.X,
        data.labels.targets,
        network,
        data.by_row,
        np.empty(0, dtype),
        loss=model.loss,
        alpha=float(model.alpha),
        label_smoothing=float(model.label_smoothing),
        fit_intercept=model.fit_intercept,
        pins_first_class=len(data.labels.classes) == 2,
        backward=model.backward,
    )
    if objective.total == 0:
        raise ValueError("sample_weight and class_weight leave no sample of any class a weight above 0")
    return objective


def _hold_out(
    model: "SoftmaxClassifier", network: Network, data: Data, rng: np.random.RandomState
) -> tuple[Data, Callable[[Array], float]]:
    """The data to train on, and a function of the parameters: their accuracy on the others."""
    hard = data.labels.hard
    counts, n_held = np.bincount(hard), math.ceil(model.validation_fraction * len(hard))
    fair = counts[counts > 0].min() >= 2 and (counts > 0).sum() <= min(n_held, len(hard) - n_held)
    rows, held = train_test_split(
        np.arange(len(hard)), test_size=n_held, random_state=rng, stratify=hard if fair else None
    )
    if len(held) < 2:
        raise ValueError("the validation set is too small: raise validation_fraction, or have more samples")
    apart = data.take(held)
    weight = apart.by_row if apart.by_row.any() else None

    def accuracy(params: Array) -> float:
        layers = network.layers(params)
        logits = functional.dense(layer_inputs(apart.X, layers, network.activation)[-1], *layers[-1])
        return float(np.average(logits.argmax(axis=1) == apart.labels.hard, weights=weight))

    return data.take(rows), accuracy


def attributes(network: Network, params: Array) -> dict[str, Any]:
    """What a classifier with these parameters has."""
    layers = [(weight.copy(), bias.copy()) for weight, bias in network.layers(params)]
    if len(layers[-1][0]) == 2:
        layers[-1] = layers[-1][0][1:], layers[-1][1][1:]
    return {
        "coefs_": [weight.T for weight, _ in layers],
        "intercepts_": [bias for _, bias in layers],
        "n_layers_": len(layers) + 1,
        "n_outputs_": len(layers[-1][0]),
    }


def _keep(model: "SoftmaxClassifier", network: Network, params: Array, training: Training, solver: Solver) -> None:
    for name, value in attributes(network, params).items():
        setattr(model, name, value)
    n_iter = len(training.loss_curve)
    # as LogisticRegression has it, and for a network or a stochastic solver as MLPClassifier
    model.n_iter_ = (
        np.array([n_iter], np.int32) if isinstance(solver, QuasiNewton) and len(network.sizes) == 2 else n_iter
    )
    model.loss_curve_ = [*model.loss_curve_, *training.loss_curve]
    model.loss_ = model.loss_curve_[-1] if model.loss_curve_ else math.nan
    scores = None
    if isinstance(solver, Descent):
        model.t_, scores = solver.seen, solver.scores or None
    model.validation_scores_ = scores
    model.best_validation_score_ = max(scores) if scores else None
    model.best_loss_ = None if scores else min(model.loss_curve_, default=math.nan)


def _tell(model: "SoftmaxClassifier", training: Training, solver: Solver, max_iter: int | None) -> None:
    """Raise or warn where the training did not end well."""
    n_iter = len(training.loss_curve)
    coordinates = solver.coordinates if isinstance(solver, QuasiNewton) else None
    if training.failed:
        model._descent = None  # its momentum is spoiled
        raise ValueError(
            f"the loss was not finite after {n_iter} good iterations, whose weights the classifier has. "
            f"Cure: {CURE}, a smaller learning_rate_init"
        )
    if training.interrupted:
        message = f"Training interrupted by user after {n_iter} iterations: the last good weights are kept"
        warnings.warn(message, stacklevel=STACK)
    elif max_iter is not None and not training.converged and not training.stopped:
        if n_iter >= max_iter:
            message = f"Maximum iterations ({max_iter}) reached and the optimization hasn't converged yet"
        else:
            message = f"no step goes down after {n_iter} iterations, though the gradient is not small: rounding"
        far = _names(model, coordinates.far_from_zero) if coordinates else ""
        message += f". Cure: a larger max_iter, {CURE}, a larger alpha or tol" + (
            f"; above all for {far}, which vary little for their distance from 0" if far else ""
        )
        warnings.warn(f"{model.solver}: {message}", ConvergenceWarning, stacklevel=STACK)
    if coordinates and coordinates.out_of_range.size:
        left_out = _names(model, coordinates.out_of_range)
        message = (
            f"left out, because {model.coefs_[0].dtype} cannot hold weights for so small or large values: {left_out}"
        )
        warnings.warn(f"{model.solver}: {message}. Cure: {CURE}", ConvergenceWarning, stacklevel=STACK)


def _names(model: "SoftmaxClassifier", features: Array) -> str:
    """The features by name, or else by number; the first ones of many."""
    known = getattr(model, "feature_names_in_", None)
    named = [f"feature {d}" if known is None else f"feature {known[d]!r}" for d in features[:FEW]]
    return ", ".join(named) + (f" and {len(features) - FEW} more" if len(features) > FEW else "")
