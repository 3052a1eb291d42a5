"""The strong Wolfe conditions, on functions of one variable that are hard to search."""

import math

import numpy as np
import pytest

from fastsoftmax import kernels
from fastsoftmax._gate.arrays import QUIET
from fastsoftmax.kernels.fit.line_search import C1, C2, HIGH, IS_BETWEEN, LOW, SEARCH_SIZE, STEP, TRY
from fastsoftmax.training.line_search import Trial, wolfe_step

# value and derivative, falling at 0 (the first three: More & Thuente 1994, functions 1 to 3, with other numbers)
FUNCTIONS = {
    "a valley behind a slow slope": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "a narrow valley": (
        lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "waves": (
        lambda t: (0.6 * (1 - t) if t < 1 else t - 1) - 0.02 * math.sin(30 * t),
        lambda t: (-0.6 if t < 1 else 1) - 0.6 * math.cos(30 * t),
    ),
    "exponential": (lambda t: math.exp(min(3 * t, 700)) - 90 * t, lambda t: 3 * math.exp(min(3 * t, 700)) - 90),
    "a parabola": (lambda t: (t - 7) ** 2, lambda t: 2 * (t - 7)),
    "infinite far away": (
        lambda t: -math.log1p(-t / 5) - t if t < 5 else math.inf,
        lambda t: 1 / (5 - t) - 1 if t < 5 else math.nan,
    ),
}


@pytest.mark.parametrize("first", [1e-3, 1e-1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_conditions_hold_at_the_trial_that_came_last(name, first):
    function, slope = FUNCTIONS[name]
    seen = []

    def evaluate(step):
        seen.append(step)
        return Trial(step, function(step), slope(step))

    start = Trial(0.0, function(0.0), slope(0.0))
    with QUIET():  # without the JIT NumPy's numbers overflow aloud
        trial = wolfe_step(evaluate, start, first, 0.0)
    assert trial is not None
    assert trial.step == seen[-1]
    assert trial.value <= start.value + C1 * trial.step * start.slope
    assert abs(trial.slope) <= -C2 * start.slope
    assert len(seen) < 20


def test_nothing_goes_down():
    assert wolfe_step(lambda t: Trial(t, 1 + t, -1.0), Trial(0.0, 1.0, -1.0), 1.0, 0.0) is None  # the slope lies
    assert wolfe_step(lambda t: Trial(t, math.nan, math.nan), Trial(0.0, 1.0, -1.0), 1.0, 0.0) is None
    assert wolfe_step(lambda t: Trial(t, -t, -1.0), Trial(0.0, 0.0, -1.0), 1.0, 0.0) is None  # for ever


def test_values_in_the_noise_are_judged_by_their_slopes():
    random = np.random.default_rng(0)

    def evaluate(step):
        return Trial(step, 1 + 1e-20 * (step - 1) ** 2 + 1e-12 * random.random(), 2e-20 * (step - 1))

    trial = wolfe_step(evaluate, Trial(0.0, 1.0, -2e-20), 0.3, 2e-12)
    assert trial is not None
    assert trial.step == pytest.approx(1, abs=0.9)


def test_a_first_step_that_has_underflowed_is_none():
    """The slope at 0 is so steep that nothing is left of the step."""
    assert wolfe_step(lambda step: Trial(step, 1.0, -1e300), Trial(0.0, 0.0, -1e300), 0.0, 0.0) is None


@pytest.mark.parametrize(
    "value_there",
    [-2.0, -4 / 3],
    ids=["no curvature: equal slopes and the values of a straight line", "it falls, more slowly in between"],
)
def test_between_two_trials_whose_cubic_has_no_minimum_the_middle_is_tried(value_there):
    search = np.zeros(SEARCH_SIZE)
    kernels.begin_search(search, 0.0, -1.0, 2.0, 0.0)
    search[HIGH], search[IS_BETWEEN] = -1.0, 1.0  # the other end lies behind, so that the interval becomes 0 to 2
    assert kernels.next_trial(search, value_there, -1.0) == TRY
    assert sorted(search[[LOW, HIGH]]) == [0.0, 2.0]
    assert search[STEP] == 1.0
