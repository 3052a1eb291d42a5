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
from fastsoftmax.classifier.labels import Labels
from fastsoftmax.classifier.options import Options
from fastsoftmax.classifier.paths import COPIED, Fold, Judge
from fastsoftmax.training.objective import Network


def judge_of(scoring: Any, shared: dict[str, Any], network: Network, X: Any, labels: Labels, by_row: Array) -> Judge:
    """The function that scores parameters on what a fold holds out. shared: of the classifiers that a scorer gets."""
    if scoring is None or (isinstance(scoring, str) and scoring in SCORES):
        return judge_by(scoring, network, X, labels.hard, by_row)
    scorer = tell_classes(check_scoring(SoftmaxClassifier(), scoring), labels.classes)
    weighs, y = by_row.size and takes_weights(scorer), labels.classes[labels.hard]

    def judge(fold: Fold, options: Options, params: Array) -> float:
        rows = fold.held_out
        given = {**shared, "alpha": options.alpha, "l1_ratio": options.l1_ratio, "n_threads": None}
        model = fitted_classifier(given, labels.classes, network, params)
        weights = {"sample_weight": by_row[rows]} if weighs else {}
        return float(scorer(model, X[rows], y[rows], **weights))

    return judge


def takes_weights(scorer: Any) -> bool:
    """Whether a scorer can be given sample_weight."""
    try:
        parameters = signature(scorer).parameters.values()
    except (TypeError, ValueError):
        return True
    return any(parameter.name == "sample_weight" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def tell_classes(scorer: Any, classes: Array) -> Any:
    """The scorer, which knows all classes then, where it asks for them: a fold may hold out samples of some alone."""
    taken = signature(scorer._score_func).parameters if hasattr(scorer, "_score_func") else {}
    if "labels" not in taken:
        return scorer
    told = {"labels": classes, **({"pos_label": classes[1]} if len(classes) == 2 and "pos_label" in taken else {})}
    scorer = copy(scorer)
    scorer._kwargs = {**told, **scorer._kwargs}
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
    score = SCORES[scoring]

    def judge(fold: Fold, _: Options, params: Array) -> float:
        ((weight, bias),), rows = network.layers(params), fold.held_out
        is_small = X.size <= COPIED  # else logits of all rows take less memory than a copy of some rows of X
        logits = functional.dense(X[rows], weight, bias) if is_small else functional.dense(X, weight, bias)[rows]
        return score(logits, labels[rows], by_row[rows] if by_row.size else None)

    return judge
