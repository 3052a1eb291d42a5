"""Fits with one strength of the penalty after another, each from where those before are heading, fold by fold.

All folds have one X, if it is not small: the rows that a fold holds out have weight 0 in it.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import num_threads
from fastsoftmax.classifier.fitting import Data, objective_of
from fastsoftmax.classifier.options import Options, solver_of
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network

COPIED = 2**20  # numbers of X, up to which a fold has its rows as a copy, and in float32: folds run side by side
FURTHEST = 2.0  # times the last step of a path: how far its next minimum is looked for, at the most


@dataclass(frozen=True)
class Fold:
    """How often each sample is trained on (N,), and the samples that are held out."""

    times: Array
    held_out: Array


@dataclass(frozen=True)
class Point:
    """What a fit of a path has found."""

    params: Array
    n_iter: int
    converged: bool


Score = Callable[[Options, Array], float]
Judge = Callable[[Fold], Score]


def read_folds(splits: Iterator[tuple[Any, Any]], n_samples: int) -> list[Fold]:
    """The folds of a splitter, whose samples are positions or masks."""
    folds = []
    for k, split in enumerate(splits):
        trained_on, held_out = (_samples_of(given, n_samples, k) for given in split)
        folds.append(Fold(np.bincount(trained_on, minlength=n_samples).astype(float), held_out))
    if not folds:
        raise ValueError("cv must have at least one fold, got none")
    return folds


def _samples_of(given: Any, n_samples: int, fold: int) -> Array:
    """Positions of samples."""
    given = np.asarray(given)
    try:
        samples = np.arange(n_samples)[given if given.size else given.astype(int)]
    except IndexError as error:
        raise ValueError(f"cv must have positions or masks of {n_samples} samples: fold {fold}: {error}") from None
    if not samples.size:
        raise ValueError(f"cv must have samples to train on and to hold out in each fold: fold {fold} lacks them")
    return samples


def follow(
    path: Sequence[Options], network: Network, data: Data, start: Array, stops: Callable[[], bool] = lambda: False
) -> Iterator[Point]:
    """Fit with the options one after another, which differ in alpha alone. stops: asked after each iteration."""
    objective, params = objective_of(path[0], network, data), start.copy()
    solver = solver_of(path[0], data.X.shape[0], None, 0, None, path[0].max_iter)
    if isinstance(solver, LBFGS):
        solver.keeps, solver.most_copied = True, COPIED
    last: deque[tuple[float, Point]] = deque(maxlen=2)  # with their alphas
    for options in path:
        objective.alpha, objective.l1 = options.alpha * (1 - options.l1_ratio), options.alpha * options.l1_ratio
        extrapolates = not objective.l1 and len(last) == 2 and all(point.converged for _, point in last)
        if extrapolates:
            alphas = [*(alpha for alpha, _ in last), options.alpha]
            params[:] = _extrapolated(alphas, *(point.params for _, point in last))
        training = train(objective, params, solver, lambda *_: stops())
        if training.failed and extrapolates:
            params[:] = last[-1][1].params
            training = train(objective, params, solver, lambda *_: stops())
        if training.interrupted:
            raise KeyboardInterrupt
        if training.failed:
            raise ValueError(f"the loss was not finite with alpha={options.alpha}: scale the features")
        if training.stopped:
            return
        point = Point(params.copy(), len(training.loss_curve), training.converged)
        last.append((options.alpha, point))
        yield point


def _extrapolated(alphas: Sequence[float], before: Array, here: Array) -> Array:
    """Where the minimum of the last of three alphas may be: in line with the first two', by log(alpha)."""
    if not alphas[0] > alphas[1] >= alphas[2] > 0:
        return here
    first, second, third = map(math.log, alphas)
    return here + min(FURTHEST, (second - third) / (first - second)) * (here - before)


def follow_all(
    paths: Sequence[Sequence[Options]],
    folds: Sequence[Fold],
    network: Network,
    data: Data,
    judge: Judge,
    tell: Callable[[Array, float], bool],
    n_threads: int,
) -> list[list[list[tuple[Point, float]]]]:
    """The points of each path in each fold, and what the judge makes of them; so many Python threads at a time.

    An error or a KeyboardInterrupt has all of them end.
    """
    over = threading.Event()

    def points_of(fold: Fold, path: Sequence[Options]) -> list[tuple[Point, float]]:
        return list(_scored(fold, path, network, data, judge, tell, over.is_set))

    def alone(fold: Fold, path: Sequence[Options]) -> list[tuple[Point, float]]:
        try:
            with num_threads(1):
                return points_of(fold, path)
        except BaseException:
            over.set()
            raise

    if n_threads == 1:
        return [[points_of(fold, path) for path in paths] for fold in folds]
    with ThreadPoolExecutor(n_threads) as pool:
        try:
            running = [[pool.submit(alone, fold, path) for path in paths] for fold in folds]
            return [[future.result() for future in fold] for fold in running]
        except BaseException:
            over.set()
            pool.shutdown(cancel_futures=True)
            raise


def _scored(
    fold: Fold,
    path: Sequence[Options],
    network: Network,
    data: Data,
    judge: Judge,
    tell: Callable[[Array, float], bool],
    stops: Callable[[], bool],
) -> Iterator[tuple[Point, float]]:
    """The points of one path in one fold, and their scores."""
    given = data.by_row if data.by_row.size else np.ones(len(data.labels.targets))
    weighted = replace(data, by_row=given * fold.times)
    if not weighted.by_row.any():
        raise ValueError("sample_weight must not be all zero in what is left to train on by a fold")
    if not given[fold.held_out].any():
        raise ValueError("sample_weight must not be all zero in what a fold holds out")
    trained_on = weighted if data.X.size > COPIED else weighted.take(np.flatnonzero(weighted.by_row))
    start, score_of = np.zeros(network.n_params, data.X.dtype), judge(fold)
    for options, point in zip(path, follow(path, network, trained_on, start, stops), strict=False):
        score = score_of(options, point.params)
        if not math.isfinite(score):
            raise ValueError(f"scoring must give finite scores, got {score} for alpha={options.alpha} in a fold")
        tell(point.params, score)
        yield point, score
