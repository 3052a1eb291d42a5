"""The training loop: a solver changes the parameters, and nothing that went well is lost.

A solver (lbfgs.py, newton_cg.py, descent.py) is called with an objective, the parameters, and a function to call after
each iteration with the parameters and the loss; that function says whether to stop, and keeps the last good parameters,
for an interrupt, or a loss that is not finite, unless the solver only ever gives good ones to `params`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np

from fastsoftmax._gate.arrays import QUIET, Array
from fastsoftmax.training.coordinates import Coordinates
from fastsoftmax.training.objective import Objective

LARGE = 1e10  # a weight that may make the next loss infinite
AfterIteration = Callable[[Array, float], bool]


class Solver(Protocol):
    """Changes the parameters in place, and says whether it ended because they are as good as was asked for.

    Attributes
    ----------
    goes_through_bad : whether the parameters may be no good ones for a while, or the loss that is told that of others
    coordinates : after a call, those that it worked in, if not in the parameters
    """

    goes_through_bad: ClassVar[bool]
    coordinates: Coordinates | None

    def __call__(self, objective: Objective, params: Array, after_iteration: AfterIteration) -> bool:
        """Minimise."""


@dataclass
class Training:
    """How a training went.

    Attributes
    ----------
    loss_curve : the objective after each good iteration (of an epoch: as it was met)
    converged : whether the solver found what it was asked for
    stopped : whether the caller had it stop
    interrupted : whether a KeyboardInterrupt ended it
    failed : whether the loss was not finite
    """

    loss_curve: list[float] = field(default_factory=list)
    converged: bool = False
    stopped: bool = False
    interrupted: bool = False
    failed: bool = False


class _Stop(Exception):
    """Ends a solver from inside."""


def train(
    objective: Objective, params: Array, solver: Solver, report: Callable[[Array, float], bool] = lambda *_: False
) -> Training:
    """Let the solver change the parameters, which end as the last good ones; report is told of each iteration."""
    training, good, earlier = Training(), params, params
    if solver.goes_through_bad:
        good, earlier = params.copy(), params.copy()

    def after_iteration(now: Array, loss: float) -> bool:
        nonlocal good, earlier
        if not (math.isfinite(loss) and np.isfinite(now).all()):
            training.failed = True
            raise _Stop
        training.loss_curve.append(loss)
        if good is not params:
            good, earlier = earlier, good
            good[:] = now
        training.stopped = report(good, loss)
        return training.stopped

    try:
        with QUIET():  # what is not finite is told by `failed`
            training.converged = solver(objective, params, after_iteration)
            largest = max(params.max(initial=0.0), -params.min(initial=0.0))  # np.abs would be another vector
            if largest < LARGE or math.isfinite(objective.value_and_grad(params)[0]):
                return training
        training.failed = True
    except _Stop:
        pass
    except KeyboardInterrupt:
        training.interrupted = True
    with QUIET():
        if training.failed and good is not earlier and not math.isfinite(objective.value_and_grad(good)[0]):
            good = earlier  # the loss of an epoch is that of weights before its last step, which was no good one
            del training.loss_curve[-1:]
    params[:] = good
    return training
