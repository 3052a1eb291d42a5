"""The attributes of a fitted classifier, of the values that they are made of."""

import functools
import math
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.fitting import Outcome
from fastsoftmax.training.network import Network

P = ParamSpec("P")
R = TypeVar("R")


def kept_until(result: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A method whose errors leave the attributes of its estimator as they were, unless there is a new result by then.

    Else a fit that fails could leave weights of one training with the classes of another.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(method)
        def kept(*args: P.args, **kwargs: P.kwargs) -> R:
            now: dict[str, Any] = args[0].__dict__
            before = dict(now)
            try:
                return method(*args, **kwargs)
            except BaseException:
                if now.get(result) is before.get(result):
                    now.clear()
                    now.update(before)
                raise

        return kept

    return decorate


def of_params(network: Network, params: Array) -> dict[str, Any]:
    """Those of the weights: copies, without the first of two classes, whose weights are 0."""
    layers = [(weight.copy(), bias.copy()) for weight, bias in network.layers(params)]
    if len(layers[-1][0]) == 2:
        layers[-1] = layers[-1][0][1:], layers[-1][1][1:]
    return {
        "coefs_": [weight.T for weight, _ in layers],
        "intercepts_": [bias for _, bias in layers],
        "n_layers_": len(layers) + 1,
        "n_outputs_": len(layers[-1][0]),
    }


def of_outcome(outcome: Outcome, loss_curve: list[float], seen: int) -> dict[str, Any]:
    """Those that come out of a training, after one that had this loss_curve and so many samples seen."""
    curve, scores = [*loss_curve, *outcome.training.loss_curve], outcome.scores
    return {
        **of_params(outcome.network, outcome.params),
        "n_iter_": outcome.n_iter,
        "dual_gap_": outcome.dual_gap,
        "loss_curve_": curve,
        "loss_": curve[-1] if curve else math.nan,
        "t_": seen if outcome.seen is None else outcome.seen,
        "validation_scores_": scores,
        "validation_loss_curve_": outcome.validation_losses,
        "best_validation_score_": max(scores) if scores else None,
        "best_loss_": None if scores else min(curve, default=math.nan),
    }


def of_weights(
    network: Network, params: Array, classes: Array, n_iter: int, feature_names: Array | None
) -> dict[str, Any]:
    """All of them, where no training of the classifier's own found the weights."""
    names = {} if feature_names is None else {"feature_names_in_": feature_names}
    return {
        **of_params(network, params),
        "classes_": classes,
        "temperature_": 1.0,
        "n_features_in_": int(network.sizes[0]),
        "n_iter_": np.array([n_iter], np.int32),
        "t_": 0,
        "loss_curve_": [],
        "loss_": math.nan,
        "best_loss_": math.nan,
        "_descent": None,
        "_unfinished": None,
        **dict.fromkeys(("dual_gap_", "validation_scores_", "validation_loss_curve_", "best_validation_score_")),
        **names,
    }


def of_coef(coef: Array) -> dict[str, Any]:
    """All but classes_, of a linear model with these weights, (n_classes, n_features) or (1, n_features), no biases."""
    n_outputs, n_features = coef.shape
    network = Network(np.array([n_features, max(n_outputs, 2)]), "relu")
    params = np.zeros(network.n_params, coef.dtype)
    network.layers(params)[0][0][-n_outputs:] = coef
    fitted = of_weights(network, params, coef, 0, None)
    del fitted["classes_"]
    return fitted


def coefs_paths_of(network: Network, params: Array, fit_intercept: bool) -> Array:
    """Of linear models' parameters (..., P): (..., n_classes or 1, n_features or n_features + 1), biases at the end."""
    n_features, n_classes = map(int, network.sizes)
    weights, biases = np.split(params, [n_classes * n_features], axis=-1)
    coefs = weights.reshape(*params.shape[:-1], n_classes, n_features)
    if fit_intercept:
        coefs = np.concatenate([coefs, biases[..., None]], axis=-1)
    return coefs[..., 1:, :] if n_classes == 2 else coefs
