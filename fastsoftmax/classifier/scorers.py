"""How well parameters do on what a fold holds out: scores of our own, and scikit-learn's scorers."""

import math
from collections.abc import Callable
from copy import copy
from inspect import signature
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.estimator import SoftmaxClassifier, fitted_classifier
from fastsoftmax.classifier.labels import Labels, is_soft, plain_labels, read_known_labels
from fastsoftmax.classifier.options import Options
from fastsoftmax.classifier.paths import COPIED, Fold, Judge, Score
from fastsoftmax.training.network import Network

# Of scikit-learn's scorers, beyond its documentation: the function, the classifier's method that it judges, arguments
PRIVATE = SCORE, METHOD, GIVEN = "_score_func", "_response_method", "_kwargs"


def judge_of(scoring: Any, shared: dict[str, Any], network: Network, X: Any, labels: Labels, by_row: Array) -> Judge:
    """What scores parameters on what a fold holds out. shared: of the classifiers that a scorer gets."""
    if scoring is None or (isinstance(scoring, str) and scoring in SCORES):
        return judge_by(scoring, network, X, labels.hard, by_row)
    scorer = tell_classes(check_scoring(SoftmaxClassifier(), scoring), labels.classes)
    weighs, y = by_row.size and takes_weights(scorer), labels.classes[labels.hard]

    def judge(fold: Fold) -> Score:
        rows = fold.held_out

        def score(options: Options, params: Array) -> float:
            given = {**shared, "alpha": options.alpha, "l1_ratio": options.l1_ratio, "n_threads": None}
            model = fitted_classifier(given, labels.classes, network, params)
            weights = {"sample_weight": by_row[rows]} if weighs else {}
            return number_of(scorer(model, X[rows], y[rows], **weights))

        return score

    return judge


def score_of(scoring: Any, model: SoftmaxClassifier, X: Any, y: Any, sample_weight: Any) -> float:
    """The score of a fitted model on other samples, by the scorer that judged it in the folds."""
    y = plain_labels(y)
    if is_soft(y):
        y = model.classes_[read_known_labels(y, np.float64, model.classes_).hard]
    scorer = tell_classes(check_scoring(model, scoring), model.classes_)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    return number_of(scorer(model, X, y, **weights))


def number_of(score: Any) -> float:
    """A score as a float; an error for several in one."""
    try:
        return float(score)
    except (TypeError, ValueError):
        raise TypeError(f"scoring must give one number for a model, got {score!r}") from None


def takes_weights(scorer: Any) -> bool:
    """Whether a scorer can be given sample_weight."""
    try:
        parameters = signature(scorer).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(parameter.name == "sample_weight" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def tell_classes(scorer: Any, classes: Array) -> Any:
    """The scorer, which knows all classes then, if it needs them: a fold may hold out samples of some alone.

    Columns of probabilities and logits cannot be told apart without `labels`. A score of predictions gets none, as
    cross_val_score has it: classes that are neither held out nor predicted would count as 0 in a mean over classes.
    Of two classes the second is the positive one, where a score is of one class; else none is, as in "f1_macro".
    """
    if not all(hasattr(scorer, name) for name in PRIVATE):
        return scorer
    given, told = getattr(scorer, GIVEN), dict[str, Any]()
    try:
        taken = signature(getattr(scorer, SCORE)).parameters
    except (TypeError, ValueError):
        return scorer
    if "labels" in taken and getattr(scorer, METHOD) not in ("predict", ["predict"], ("predict",)):
        told["labels"] = classes
    if len(classes) == 2 and "pos_label" in taken:
        # without `labels`, as average_precision_score, `average` is of several labels a sample
        average = given.get("average", taken["average"].default) if {"average", "labels"} <= set(taken) else "binary"
        told["pos_label"] = classes[1] if average == "binary" else None
    scorer = copy(scorer)
    setattr(scorer, GIVEN, {**told, **given})
    return scorer


def accuracy(logits: Array, labels: Array, by_row: Array | None) -> float:
    """The share of the samples that is predicted right, by weight."""
    return float(np.average(logits.argmax(axis=1) == labels, weights=by_row))


def negative_log_loss(logits: Array, labels: Array, by_row: Array | None) -> float:
    """As scikit-learn has it: a probability below the dtype's eps counts as that."""
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return -float(np.average(np.minimum(losses, -math.log(np.finfo(logits.dtype).eps)), weights=by_row))


# From logits of what is held out, with nothing built and checked for each fit: a scorer takes longer than a small fit
SCORES: dict[str | None, Callable[[Array, Array, Array | None], float]] = {
    None: accuracy,
    "accuracy": accuracy,
    "neg_log_loss": negative_log_loss,
}


def judge_by(scoring: str | None, network: Network, X: Any, labels: Array, by_row: Array) -> Judge:
    """The score of parameters on what a fold holds out, by one of SCORES."""

    def judge(fold: Fold) -> Score:
        rows = fold.held_out
        is_small = X.size <= COPIED  # else logits of all rows take less memory than a copy of some rows of X
        held_out, hard, weight_of = X[rows] if is_small else X, labels[rows], by_row[rows] if by_row.size else None

        def score(_: Options, params: Array) -> float:
            ((weight, bias),) = network.layers(params)
            logits = functional.dense(held_out, weight, bias)
            return SCORES[scoring](logits if is_small else logits[rows], hard, weight_of)

        return score

    return judge
