"""The loop, with each solver: it stops when it should, and never loses the last good weights."""

import os
import subprocess
import sys

import numpy as np
import pytest
from helpers import JIT
from sklearn.datasets import load_iris

from fastsoftmax.classifier.options import DETERMINISTIC
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.descent import Descent, start_descent
from fastsoftmax.training.loop import train
from fastsoftmax.training.network import Network


def of(load=load_iris, alpha=1.0, dtype=np.float64):
    X, y = load(return_X_y=True)
    network = Network(np.array([X.shape[1], 3]))
    return ArrayObjective(X.astype(dtype), y, network, np.empty(0), alpha=alpha)


def descent(params, **options):
    state = start_descent(
        params,
        solver=options.pop("solver", "sgd"),
        learning_rate_init=options.get("learning_rate_init", 0.05),
        decays=(0.9, 0.999),
        nesterovs_momentum=False,
        epsilon=1e-8,
        seed=options.pop("seed", 0),
    )
    settings = {"batch_size": 30, "max_iter": 20, "tol": 1e-4, "n_iter_no_change": 10} | options
    return Descent(state, **settings)


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd", "adam"])
def test_max_iter_is_kept_and_told(method):
    objective = of()
    params = np.zeros(objective.network.n_params)
    solver = (
        descent(params, solver=method, max_iter=3) if method in ("sgd", "adam") else DETERMINISTIC[method](1e-12, 3)
    )
    training = train(objective, params, solver)
    assert len(training.loss_curve) == 3
    assert not training.converged


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd"])
def test_a_report_can_stop_it(method):
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)

    def report(now, loss):
        seen.append(now.copy())
        return len(seen) == 2

    solver = descent(params) if method == "sgd" else DETERMINISTIC[method](1e-12, 50)
    training = train(objective, params, solver, report)
    assert training.stopped
    assert len(training.loss_curve) == len(seen) == 2
    assert np.array_equal(params, seen[-1])
    assert not np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize("method", ["lbfgs", "newton-cg", "sgd"])
def test_an_interrupt_leaves_the_last_good_weights(method):
    objective, seen = of(), []
    params = np.zeros(objective.network.n_params)

    def report(now, loss):
        seen.append(now.copy())
        if len(seen) == 2:
            raise KeyboardInterrupt
        return False

    solver = descent(params) if method == "sgd" else DETERMINISTIC[method](1e-12, 50)
    training = train(objective, params, solver, report)
    assert training.interrupted
    assert np.array_equal(params, seen[1])


def test_a_loss_that_is_not_finite_leaves_the_last_good_weights():
    objective = of()
    params = np.zeros(objective.network.n_params)
    objective.X[7] = 1e200
    objective.alpha = 1e250
    solver, seen = descent(params, learning_rate_init=1e60, max_iter=50), []
    training = train(objective, params, solver, lambda now, loss: seen.append(now.copy()) or False)
    assert training.failed
    assert len(training.loss_curve) == len(seen)
    assert np.isfinite(params).all()
    assert np.array_equal(params, seen[-1] if seen else np.zeros_like(params))


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg"])
def test_a_fit_of_text_takes_twelve_vectors(solver):
    """Of the size of all parameters, the result among them; and some as long as there are features."""
    code = """
import sys, warnings
import numpy as np
from scipy.sparse import random_array
import fastsoftmax as fs

def memory(name):
    return [int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name)][0]

def fit(n_samples, n_features):
    X = random_array((n_samples, n_features), density=50 / n_features, format="csr", rng=np.random.default_rng(0))
    y, before = np.arange(n_samples) % 20, memory("VmRSS")
    return before, fs.SoftmaxClassifier(solver=sys.argv[1], max_iter=6).fit(X, y)

fit(200, 300)
before, model = fit(2000, 60_000)
print((memory("VmHWM") - before) / model.coef_.nbytes)
"""
    command = [sys.executable, "-W", "ignore", "-c", code, solver]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 5 < float(done.stdout) <= 12
