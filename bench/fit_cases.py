"""The races of fits by a solver that runs until it is done: SoftmaxClassifier, LogisticRegression, and other libraries.

All minimise LogisticRegression's objective (alpha = 1/C), and a fit is worth its time only if it comes within GOAL of
the best that any solver finds. Tolerances of different solvers mean different things, so that there are cases with the
default one, and cases with the loosest one by which each solver gets there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from data_sets import data_of, is_sparse
from fit_peers import PEERS
from judge import Call, Layers
from sklearn.linear_model import LogisticRegression

import fastsoftmax as fs
from fastsoftmax.classifier.options import DETERMINISTIC
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network

GOAL = 1e-3  # of the best objective: how far above it a fit may end
TOLERANCES = tuple(float(f"{digit}e-{power}") for power in range(1, 10) for digit in (3, 1))
MAX_ITER = {"sag": 1000, "saga": 1000}  # and of other solvers:
ENOUGH = 10_000
OURS = ("lbfgs", "newton-cg", "newton-cholesky")
OURS_L1 = ("coordinate-descent",)


@dataclass(frozen=True)
class FitCase:
    """Softmax regression on a data set (data_sets.py)."""

    data_set: str
    dtype: str = "float64"
    loosest: bool = False  # the loosest tolerance of each with which it reaches GOAL, instead of its default
    alpha: float = 1.0
    l1_ratio: float = 0.0

    @property
    def name(self) -> str:
        """What is timed."""
        return f"fit {self.data_set}" + ", L1" * bool(self.l1_ratio) + ", loosest tol" * self.loosest

    @property
    def data(self) -> tuple[Any, np.ndarray]:
        """X and y."""
        return data_of(self.data_set, self.dtype)

    @property
    def ours(self) -> tuple[str, ...]:
        """Solvers of SoftmaxClassifier."""
        if self.l1_ratio:
            return OURS_L1
        wide = "large" in self.data_set  # a Hessian of 7850 x 7850 at least
        return tuple(solver for solver in OURS if solver != "newton-cholesky" or not wide)

    @property
    def solvers(self) -> list[str]:
        """Of LogisticRegression's, those that come to an end here."""
        if self.l1_ratio:
            return ["saga"]
        if self.data_set == "made large":
            return ["lbfgs", "newton-cg"]  # a Hessian of 7850 x 7850; sag takes minutes
        if self.data_set == "newsgroups large":
            return ["lbfgs", "newton-cg", "sag"]  # saga takes eight times as long as sag
        scaled = " " in self.data_set  # elsewhere sag and saga are far away after 1000 epochs
        return ["lbfgs", "newton-cg", "newton-cholesky"] + ["sag", "saga"] * scaled


def ours(case: FitCase, solver: str) -> Callable[..., Any]:
    """Makes a SoftmaxClassifier, given its tolerance if that is not the default."""
    l1 = {"l1_ratio": case.l1_ratio} if case.l1_ratio else {}
    return partial(fs.SoftmaxClassifier, solver=solver, alpha=case.alpha, max_iter=ENOUGH, **l1)


def theirs(case: FitCase, solver: str) -> Callable[..., Any]:
    """Makes a LogisticRegression, given its tolerance if that is not the default."""
    options = {"C": 1 / case.alpha, "l1_ratio": case.l1_ratio, "max_iter": MAX_ITER.get(solver, ENOUGH)}
    return partial(LogisticRegression, solver=solver, random_state=0, **options)


def estimators(case: FitCase, threads: int) -> dict[str, Callable[..., Any]]:
    """Of each provider a function that makes an estimator, given its tolerance if that is not the default."""
    n_classes = int(case.data[1].max()) + 1
    peers = {
        name: partial(peer.make, case.alpha, case.l1_ratio, len(case.data[1]), threads)
        for name, peer in PEERS.items()
        if peer.takes(n_classes, case.l1_ratio, is_sparse(case.data_set), case.dtype)
    }
    return {
        **{f"fastsoftmax {solver}": ours(case, solver) for solver in case.ours},
        **{f"sklearn {solver}": theirs(case, solver) for solver in case.solvers},
        **peers,
    }


def exact(case: FitCase) -> Any:
    """An estimator that comes closer to the minimum than any that races."""
    if case.l1_ratio or "large" in case.data_set:
        return ours(case, case.ours[0])(tol=1e-7)
    return theirs(case, "newton-cholesky")(tol=1e-10)


def solver_alone(case: FitCase, solver: str, tol: float) -> Call:
    """Ours without the classifier around it, from arrays known to be fit: the rest of `fit` is mostly validation."""
    X, y = case.data
    network, method = Network(np.array([X.shape[1], y.max() + 1])), DETERMINISTIC[solver](tol, ENOUGH)
    first = bool(y.max() == 1)  # of two classes the first has logits 0

    def call() -> Layers:
        params = np.zeros(network.n_params, X.dtype)
        problem = ArrayObjective(X, y, network, np.empty(0), alpha=case.alpha, pins_first_class=first)
        train(problem, params, method)
        return [(weight.T, bias) for weight, bias in network.layers(params)]

    return call
