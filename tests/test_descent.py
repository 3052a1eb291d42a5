"""sgd and adam: the rules for the learning rate, and for when to stop (what an epoch does: test_objective.py)."""

import numpy as np
import pytest
from test_training import descent, of

from fastsoftmax.training.loop import train


def test_patience_counts_epochs_without_progress():
    """The rule of MLPClassifier, fed with losses."""
    solver = descent(np.zeros(3), tol=0.1, n_iter_no_change=2)
    stops = []
    for loss in (5.0, 4.0, 3.95, 3.9, 3.0, 2.95, 2.92, 2.9):
        solver._note(loss)
        stops.append(solver._idle_for_long())
    assert stops == [False] * 7 + [True]
    assert solver.best == 2.9


def test_learning_rate_schedules():
    adaptive = descent(np.zeros(3), tol=0.1, n_iter_no_change=1, learning_rate="adaptive")
    rates = []
    for _ in range(40):
        adaptive._note(1.0)
        stopped = adaptive._idle_for_long()
        rates.append(adaptive.state.rule[1])
        if stopped:
            break
    assert rates[:5] == [0.05, 0.05, 0.01, 0.01, pytest.approx(0.002)]
    assert stopped
    assert rates[-1] <= 1e-6 < rates[-1] * 5
    falling = descent(np.zeros(3), learning_rate_init=0.05, learning_rate="invscaling", power_t=0.5)
    falling.seen = 99
    falling._idle_for_long()
    assert falling.state.rule[1] == pytest.approx(0.05 / 10)


def test_the_best_of_the_validated_weights_stay():
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)
    scores = iter([0.2, 0.9, 0.5, 0.6, 0.7, 0.1])

    def validate(now):
        seen.append(now.copy())
        return next(scores), len(seen) / 2

    solver = descent(params, validate=validate, n_iter_no_change=3)
    training = train(objective, params, solver)
    assert training.converged
    assert solver.scores == [0.2, 0.9, 0.5, 0.6, 0.7, 0.1]
    assert solver.validation_losses == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert np.array_equal(params, seen[1])


def test_an_interrupt_while_validating_keeps_the_epoch():
    objective = of()
    params = np.zeros(objective.network.n_params)

    def validate(now):
        raise KeyboardInterrupt

    training = train(objective, params, descent(params, validate=validate))
    assert training.interrupted
    assert len(training.loss_curve) == 1
    assert params.any()
