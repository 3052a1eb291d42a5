"""A step along a direction that goes down, where Python evaluates F: see kernels/fit/line_search.py."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastsoftmax import kernels
from fastsoftmax.kernels.fit.line_search import FOUND, SEARCH_SIZE, STEP, TRY


class Trial(NamedTuple):
    """A step, F and its derivative there."""

    step: float
    value: float
    slope: float


Evaluate = Callable[[float], Trial]


def wolfe_step(evaluate: Evaluate, start: Trial, step: float, noise: float) -> Trial | None:
    """The first step found that keeps the strong Wolfe conditions, which was evaluated last; None if none was found.

    start is the trial of step 0, noise what F is known to.
    """
    search = np.empty(SEARCH_SIZE)
    kernels.begin_search(search, start.value, start.slope, step, noise)
    while True:
        trial = evaluate(float(search[STEP]))
        verdict = kernels.next_trial(search, trial.value, trial.slope)
        if verdict != TRY:
            return trial if verdict == FOUND else None
