"""The penalties that SoftmaxClassifierCV tries, and which of them it takes once their scores are known."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax._gate.numbers import check_choice, read_count, read_number
from fastsoftmax.classifier.options import DETERMINISTIC, Options, read_options, reading_parameters


@dataclass(frozen=True)
class Penalties:
    """What is tried.

    Attributes
    ----------
    alphas, l1_ratios : in the order in which they were given
    order : where in alphas each fit of a path finds its own: the strongest penalty first
    paths : for each of l1_ratios, the options of its fits in that order
    """

    alphas: Array
    l1_ratios: Array
    order: Array
    paths: list[list[Options]]


@dataclass(frozen=True)
class Choice:
    """What is taken.

    Attributes
    ----------
    alpha, l1_ratio, score : the best, or means of what was best in each fold
    params : what the folds have found with it, in the mean (P,)
    """

    alpha: float
    l1_ratio: float
    score: float
    params: Array


@reading_parameters()
def read_penalties(alphas: Any, l1_ratios: Any, given: Mapping[str, Any]) -> Penalties:
    """Alphas and l1_ratios as SoftmaxClassifierCV takes them. given: the other parameters, SoftmaxClassifier's."""
    if isinstance(alphas, Iterable):
        alphas = np.array([read_number("alphas", alpha, least=0) for alpha in alphas])
    elif not hasattr(alphas, "__index__"):
        raise TypeError(f"alphas must be an integer or a sequence of numbers, got {alphas!r}")
    else:
        alphas = 1 / np.logspace(-4, 4, read_count("alphas", alphas))
    if not isinstance(l1_ratios, Iterable):
        raise ValueError(f"l1_ratios must be a sequence of numbers, got {l1_ratios!r}")
    l1_ratios = np.array([read_number("l1_ratios", ratio, least=0, most=1) for ratio in l1_ratios])
    for name, array in (("alphas", alphas), ("l1_ratios", l1_ratios)):
        if not array.size:
            raise ValueError(f"{name} must not be empty")
    check_choice("solver", given["solver"], ("auto", *DETERMINISTIC))
    options = [read_options({**given, "alpha": alphas.max(), "l1_ratio": ratio}) for ratio in l1_ratios]
    if alphas.min() == 0 and (l1_ratios.max() > 0 or given["solver"] == "coordinate-descent"):
        raise ValueError("alphas must be above 0 for L1 and for coordinate-descent")
    order = np.argsort(-alphas, kind="stable")
    return Penalties(alphas, l1_ratios, order, [[replace(each, alpha=alphas[k]) for k in order] for each in options])


def best_of_means(penalties: Penalties, scores: Array, params: Array) -> tuple[Choice, Options]:
    """The best mean score over the folds, and its options; of equal ones the strongest alpha, then the first l1_ratio.

    scores (n_folds, n_l1_ratios, n_alphas), params (..., P), alphas in the order in which they were given.
    """
    means = scores.mean(axis=0)
    place, ratio = map(int, np.unravel_index(means[:, penalties.order].T.argmax(), means.T.shape))
    k = penalties.order[place]
    found = float(penalties.alphas[k]), float(penalties.l1_ratios[ratio]), float(means[ratio, k])
    return Choice(*found, params[:, ratio, k].mean(axis=0)), penalties.paths[ratio][place]


def mean_of_bests(penalties: Penalties, scores: Array, params: Array) -> Choice:
    """Means of what is best in each fold, of alpha that of 1 / alpha; of equal ones as above."""
    n_folds = len(scores)
    by_fold = scores[:, :, penalties.order].transpose(0, 2, 1).reshape(n_folds, -1)
    place, ratio = np.unravel_index(by_fold.argmax(axis=1), scores.shape[:0:-1])
    k = penalties.order[place]
    with np.errstate(divide="ignore"):
        alpha = 1 / (1 / penalties.alphas[k]).mean()
    found = float(alpha), float(penalties.l1_ratios[ratio].mean()), float(by_fold.max(axis=1).mean())
    return Choice(*found, params[np.arange(n_folds), ratio, k].mean(axis=0))
