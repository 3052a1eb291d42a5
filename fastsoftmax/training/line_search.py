"""A step along a direction that goes down: the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6).

    F(t) <= F(0) + C1 t F'(0)      |F'(t)| <= C2 |F'(0)|

F is known to rounding only: near the minimum, where no step lowers it by more than that, the slopes alone decide.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

C1, C2 = 1e-4, 0.9
MOST = 40  # steps that are tried
LONGER = 4.0  # times the step before, while it goes down
EDGE = 0.1  # of an interval: how near to its ends no step is tried


class Trial(NamedTuple):
    """A step, F and its derivative there."""

    step: float
    value: float
    slope: float


Evaluate = Callable[[float], Trial]


def wolfe_step(evaluate: Evaluate, start: Trial, step: float, noise: float) -> Trial | None:
    """The first step found that keeps the conditions, which was evaluated last; None if none was found.

    start is the trial of step 0, noise what F is known to.
    """
    before = start
    for tried in range(MOST):
        trial = evaluate(step)
        if _is_too_high(trial, start, noise) or (tried and trial.value > before.value + noise):
            return _between(evaluate, before, trial, start, noise)
        if abs(trial.slope) <= -C2 * start.slope:
            return trial
        if trial.slope >= 0:
            return _between(evaluate, trial, before, start, noise)
        before, step = trial, LONGER * step
    return None


def _between(evaluate: Evaluate, low: Trial, high: Trial, start: Trial, noise: float) -> Trial | None:
    """Between two trials, of which `low` is the better one, and goes down towards the other."""
    for _ in range(MOST):
        if low.step == high.step:  # a first step that has underflowed to 0
            return None
        trial = evaluate(_guess(low, high))
        if trial.step in (low.step, high.step):
            return None
        if _is_too_high(trial, start, noise) or trial.value > low.value + noise:
            high = trial
        elif abs(trial.slope) <= -C2 * start.slope:
            return trial
        else:
            if trial.slope * (high.step - low.step) >= 0:
                high = low
            low = trial
    return None


def _is_too_high(trial: Trial, start: Trial, noise: float) -> bool:
    """Also where F or its slope is no number."""
    limit = start.value + C1 * trial.step * start.slope + noise
    return not (trial.value <= limit and math.isfinite(trial.slope))


def _guess(low: Trial, high: Trial) -> float:
    """The minimum of the cubic through both trials (3.59), or the middle; not too near to either."""
    width = high.step - low.step
    d1 = low.slope + high.slope - 3 * (high.value - low.value) / width
    root = d1 * d1 - low.slope * high.slope
    if not math.isfinite(root):
        part = EDGE  # far too long a step
    elif root < 0:
        part = 0.5
    else:
        d2 = math.copysign(math.sqrt(root), width)
        below = high.slope - low.slope + 2 * d2
        part = 1 - (high.slope + d2 - d1) / below if below else 0.5
    return low.step + min(max(part, EDGE), 1 - EDGE) * width
