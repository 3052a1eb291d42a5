"""An iteration of L-BFGS as one call gives the bits that the calls one by one give."""

import numpy as np
import pytest
from helpers import rng
from scipy.sparse import csr_array

from fastsoftmax import num_threads
from fastsoftmax.training import array_objective
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network
from fastsoftmax.training.scaled import Scaled


def made(n_rows=90, n_features=7, n_classes=4, dtype=np.float64, sparse=False, soft=False, weights=False, **options):
    X = (rng(1).standard_normal((n_rows, n_features)) * rng(2).uniform(0.1, 9, n_features) + 1).astype(dtype)
    X[rng(3).random(X.shape) < 0.2] = 0
    y = rng(4).integers(n_classes, size=n_rows)
    if soft:
        y = rng(4).dirichlet(np.ones(n_classes), size=n_rows).astype(dtype)
    sample_weight = rng(5).uniform(0, 2, n_rows) if weights else np.empty(0)
    network = Network(np.array([n_features, n_classes]))
    return ArrayObjective(csr_array(X) if sparse else X, y, network, sample_weight, **{"alpha": 0.5, **options})


def minimised(objective, **options):
    params = np.zeros(objective.network.n_params, objective.dtype)
    training = train(objective, params, LBFGS(1e-6, 60, **options))
    return params.tobytes(), training.loss_curve


CASES = {
    "cross-entropy": {},
    "squared error": {"loss": "squared_error"},
    "float32": {"dtype": np.float32},
    "no intercept": {"fit_intercept": False},
    "weights": {"weights": True, "label_smoothing": 0.1},
    "distributions": {"soft": True},
    "two classes, one logit": {"n_classes": 2, "pins_first_class": True},
    "one feature": {"n_features": 1},
    "no penalty": {"alpha": 0.0},
    "one row": {"n_rows": 1},
    "long enough for helpers": {"n_rows": 3000, "n_features": 40, "n_classes": 11},
    "vectors as long as several blocks": {"n_features": 900, "n_classes": 11},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_one_call_and_many_have_the_same_bits(options, threads, monkeypatch):
    with num_threads(threads):
        at_once = minimised(made(**options))
        monkeypatch.setattr(ArrayObjective, "iteration", lambda *_: None)
        assert minimised(made(**options)) == at_once
    assert len(at_once[1]) > 2 or options == {"n_rows": 1}


def test_a_path_has_the_same_bits(monkeypatch):
    def path():
        objective, solver = made(), LBFGS(1e-5, 60, keeps=True)
        params, curves = np.zeros(objective.network.n_params), []
        for objective.alpha in (10.0, 1.0, 0.1):
            curves.append(train(objective, params, solver).loss_curve)
        return params.tobytes(), curves

    at_once = path()
    monkeypatch.setattr(ArrayObjective, "iteration", lambda *_: None)
    assert path() == at_once


def test_it_is_one_call_where_that_pays(monkeypatch):
    def iterates(objective):
        return Scaled(objective, np.zeros(objective.network.n_params, objective.dtype)).iterates

    assert iterates(made())
    assert iterates(made(dtype=np.float32))
    assert not iterates(made(sparse=True))
    assert not iterates(made(backward="vjp"))
    network = made()
    network.network = Network(np.array([7, 3, 4]))
    assert not iterates(network)
    monkeypatch.setattr(array_objective, "MOST_AT_ONCE", 100)
    assert not iterates(made())


def test_a_step_that_leads_nowhere_changes_nothing():
    """The gradient is not that of F: along it F only grows."""
    objective = made()
    problem = Scaled(objective, np.zeros(objective.network.n_params))
    params, value = problem.params.copy(), problem.value
    problem.grad *= -1
    m, size = 3, problem.grad.size
    memory = np.zeros((2 * m, size)), (0, 0, 1), np.zeros((2 * m, 2 * m)), np.zeros(2 * m)
    grad = problem.grad.copy()
    assert not problem.iterate(*memory)
    np.testing.assert_array_equal(problem.params, params)
    np.testing.assert_array_equal(problem.grad, grad)
    assert problem.value == value
