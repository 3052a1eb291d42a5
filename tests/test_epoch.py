"""Epochs: threads change no bit, steps are those of plain NumPy, and lazy ones those of the same data as a matrix."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from helpers import JIT, quiet, rng, same_bits
from sklearn.exceptions import ConvergenceWarning

import fastsoftmax as fs
from fastsoftmax.kernels.fit.optimizers import ADAM, NESTEROV, RATE, SGD, STEPS
from fastsoftmax.kernels.layer.lazy import is_lazy
from fastsoftmax.training import array_objective
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.network import Network

METHODS = [SGD, NESTEROV, ADAM]


def data_of(n, sizes, dtype, density=1.0, weighted=False):
    """Uneven X, of which a few features are never met if it is sparse; labels; weights, some of them 0."""
    random = rng(n + sum(sizes))
    X = random.standard_normal((n, sizes[0])) * random.uniform(0.2, 2, sizes[0])
    if density < 1:
        X *= random.random(X.shape) < density * random.uniform(0, 2, sizes[0])
        X[:, [0, 3, 4, sizes[0] - 1]] = 0
        X[n // 2] = 0
    by_row = random.integers(0, 3, n) * 0.7 if weighted else np.empty(0)
    return X.astype(dtype), random.integers(0, sizes[-1], n), by_row


def start(X, y, by_row, sizes, method, alpha, momentum=0.9, **options):
    """An objective, parameters that are nowhere 0 but where they stay 0, and a descent that has made steps before."""
    network, pins = Network(np.array(sizes), "tanh"), sizes[-1] == 2
    objective = ArrayObjective(X, y, network, by_row, alpha=alpha, pins_first_class=pins, **options)
    params = (0.3 * rng(7).standard_normal(network.n_params)).astype(X.dtype)
    for k, (weight, bias) in enumerate(network.layers(params)):
        bias[:] *= objective.fit_intercept
        if pins and k == len(sizes) - 2:
            weight[0], bias[0] = 0, 0
    moment = (0.01 * rng(8).standard_normal(params.size)).astype(X.dtype) * (params != 0)
    momentum = min(momentum, 0.9) if method == ADAM else momentum
    return objective, params, (moment, np.abs(moment) ** 2, np.array([method, 0.05, momentum, 0.99, 1e-3, 2.0]))


def run_epochs(X, y, by_row, sizes, batch_size, method, alpha=1.5, epochs=2, **options):
    """-> losses, parameters, and the state of the descent."""
    objective, params, state = start(X, y, by_row, sizes, method, alpha, **options)
    order, shuffling = rng(9).permutation(len(y)), np.array([5], np.uint64)
    losses = [objective.epoch(params, order, shuffling, batch_size, state) for _ in range(epochs)]
    return losses, params, state


@pytest.mark.skipif(not JIT, reason="without the JIT there is one thread")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "sizes", "batch_size", "method", "density"),
    [
        (1000, (50, 33, 17, 7), 300, SGD, 1),
        (777, (301, 100, 10), 256, ADAM, 1),
        (500, (64, 64, 2), 200, NESTEROV, 1),
        (5000, (300, 11), 2500, SGD, 1),
        (401, (20, 90, 15, 14, 3), 400, ADAM, 1),
        (2600, (784, 70, 5), 1300, SGD, 1),  # more rows than a workspace holds
        (600, (500, 40, 3), 300, ADAM, 0.05),
        (600, (5000, 20, 3), 50, SGD, 0.01),  # lazy, batches of two blocks
    ],
    ids=str,
)
def test_threads_do_not_change_a_bit(n, sizes, batch_size, method, density, dtype):
    X, *rest = data_of(n, sizes, dtype, density, weighted=method == NESTEROV)
    given = X if density == 1 else scipy.sparse.csr_array(X), *rest
    with fs.num_threads(1):
        alone = run_epochs(*given, sizes, batch_size, method)
    for threads in (2, 3):
        with fs.num_threads(threads):
            losses, params, state = run_epochs(*given, sizes, batch_size, method)
        assert losses == alone[0]
        assert np.array_equal(params, alone[1])
        assert all(np.array_equal(*pair) for pair in zip(state, alone[2], strict=True))


def in_numpy(X, y, by_row, network, params, state, order, batch_size, strength, pins, fits_bias):
    """An epoch of network of tanh by plain NumPy, all steps dense: the objective as met; params and state change."""
    moment, squares, rule = state
    method, rate, m, m_squares, epsilon, _ = rule
    s, met, total = by_row if by_row.size else np.ones(len(y)), 0.0, 0.0
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        weight = s[rows].sum()
        if weight == 0:
            continue
        layers, grad, inputs = network.layers(params), np.zeros_like(params), [X[rows]]
        for W, b in layers[:-1]:
            inputs.append(np.tanh(inputs[-1] @ W.T + b))
        z = inputs[-1] @ layers[-1][0].T + layers[-1][1]
        z -= z.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        delta = s[rows, None] / weight * (np.exp(log_p) - np.eye(z.shape[1])[y[rows]])
        met -= s[rows] @ log_p[np.arange(len(rows)), y[rows]]
        met += weight * strength / 2 * sum((W**2).sum() for W, _ in layers)
        for k, (grad_W, grad_b) in reversed(list(enumerate(network.layers(grad)))):
            grad_W[:], grad_b[:] = delta.T @ inputs[k] + strength * layers[k][0], fits_bias * delta.sum(axis=0)
            if pins and k == len(layers) - 1:
                grad_W[0], grad_b[0] = 0, 0
            delta = (delta @ layers[k][0]) * (1 - inputs[k] ** 2)
        total, rule[STEPS] = total + weight, rule[STEPS] + 1
        if method == ADAM:
            moment[:], squares[:] = m * moment + (1 - m) * grad, m_squares * squares + (1 - m_squares) * grad**2
            step = rate * np.sqrt(1 - m_squares ** rule[STEPS]) / (1 - m ** rule[STEPS])
            params -= step * moment / (np.sqrt(squares) + epsilon)
        else:
            moment[:] = m * moment - rate * grad
            params += m * moment - rate * grad if method == NESTEROV else moment
    return met / total


@pytest.mark.parametrize("density", [1, 0.02])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("sizes", "batch_size", "alpha", "options"),
    [
        ((300, 5), 17, 0.0, {}),
        ((300, 5), 17, 3.0, {"weighted": True}),
        ((3000, 2), 17, 3.0, {}),  # the first class stays as it is
        pytest.param((3000, 2), 1, 3.0, {"weighted": True}, id="long, batches without weight"),
        ((300, 31, 5), 17, 0.0, {"fit_intercept": False}),
        pytest.param((300, 70, 29, 2), 60, 3.0, {"weighted": True}, id="long, layers of several pieces"),
        pytest.param((150, 60, 31, 5), 330, 3.0, {}, id="long, batches of several blocks"),
    ],
    ids=str,
)
def test_epochs_are_those_of_plain_numpy(sizes, batch_size, alpha, options, method, density):
    """Three epochs, before each of which the learning rate changes, from a momentum that is there already."""
    options = dict(options)
    density = 1 if density == 1 else density * 300 / sizes[0]
    X, y, by_row = data_of(2 * batch_size + 71, sizes, np.float64, density, options.pop("weighted", False))
    pins, fits_bias = sizes[-1] == 2, options.get("fit_intercept", True)
    given = X if density == 1 else scipy.sparse.csr_array(X)
    objective, params, state = start(given, y, by_row, sizes, method, alpha, **options)
    right, right_state, order = params.copy(), [a.copy() for a in state], rng(9).permutation(len(y))
    for rate in (0.05, 0.2, 0.01):
        state[2][RATE] = right_state[2][RATE] = rate
        loss = objective.epoch(params, order, np.empty(0, np.uint64), batch_size, state)
        steps = order, batch_size, alpha / objective.total, pins, fits_bias
        expected = in_numpy(X, y, by_row, objective.network, right, right_state, *steps)
        assert loss == pytest.approx(expected, rel=1e-11)
        np.testing.assert_allclose(params, right, rtol=1e-9, atol=1e-12)
        for here, there in zip(state, right_state, strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("density", [1, 0.02])
@pytest.mark.parametrize("method", [SGD, ADAM])
def test_calls_for_parts_of_an_epoch_take_the_same_steps(method, density, monkeypatch):
    """An interrupt comes between two calls: a long epoch is several."""
    X, *rest = data_of(640 if JIT else 160, (300, 40, 5), np.float64, density)
    given = X if density == 1 else scipy.sparse.csr_array(X), *rest
    right = run_epochs(*given, (300, 40, 5), 50, method)
    calls = []
    for_steps = array_objective.run
    monkeypatch.setattr(array_objective, "run", lambda *arguments: calls.append(1) or for_steps(*arguments))
    monkeypatch.setattr(array_objective, "CALL_WORK", 60_000 if JIT else 15_000)
    loss, params, state = run_epochs(*given, (300, 40, 5), 50, method)
    assert 4 <= len(calls) <= 26
    rtol = 0 if density == 1 else 1e-10  # features are caught up with at the end of each call
    np.testing.assert_allclose(loss, right[0], rtol=1e-13 if density == 1 else 1e-10)
    np.testing.assert_allclose(params, right[1], rtol=rtol)
    for here, there in zip(state, right[2], strict=True):
        np.testing.assert_allclose(here, there, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"] if JIT else ["constant"])
@pytest.mark.parametrize("n_classes", [2, 4] if JIT else [2])
def test_a_classifier_learns_the_same_from_sparse_data(learning_rate, n_classes):
    """Epochs, each with its learning rate, and partial_fit, which goes on with the momentum."""
    X, y, _ = data_of(400, (300, n_classes), np.float64, 0.02)
    options = {"solver": "sgd", "alpha": 2.0, "batch_size": 10, "random_state": 0, "learning_rate_init": 0.5}
    options |= {"learning_rate": learning_rate, "tol": 0.05, "n_iter_no_change": 1, "max_iter": 25, "power_t": 0.2}
    models = [fs.SoftmaxClassifier(**options) for _ in range(2)]
    for model, data in zip(models, (X, scipy.sparse.csr_array(X)), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(data, y)
        assert model.n_iter_ > 2
        model.partial_fit(data, y).partial_fit(data, y)
    dense, sparse = models
    np.testing.assert_allclose(sparse.coef_, dense.coef_, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=1e-9)


CASES = [
    {},
    {"alpha": 0.0},
    {"alpha": 40.0},
    {"momentum": 0.0},
    {"momentum": 0.0, "alpha": 0.0},
    {"momentum": 1.0},
    {"sizes": (300, 9, 4)},
    {"sizes": (3000, 2)},
    {"sizes": (300, 21), "fit_intercept": False},
    {"weighted": True, "batch_size": 5},
    {"weighted": True, "batch_size": 1},  # batches without weight
    {"loss": "squared_error", "label_smoothing": 0.1},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64] if JIT else [np.float64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES if JIT else [{}, {"sizes": (300, 9, 4), "fit_intercept": False}], ids=str)
def test_sparse_epochs_are_those_of_the_dense_data(case, method, dtype):
    """Of 300 features a batch meets few, and some none: its lazy steps of sgd end where dense ones do, at once."""
    case = {"sizes": (300, 7), "batch_size": 11, "weighted": False} | case
    sizes, batch_size, weighted = case.pop("sizes"), case.pop("batch_size"), case.pop("weighted")
    X, y, by_row = data_of(130 if batch_size > 1 else 60, sizes, dtype, 6 / sizes[0], weighted)
    by_row[:30:2] = 0
    data = scipy.sparse.csr_array(X)
    read, n_batches = (data.data, data.indices, data.indptr), len(y) // batch_size
    assert is_lazy(read, *sizes[:2], len(y), n_batches, [method]) == (method != ADAM)
    dense = run_epochs(X, y, by_row, sizes, batch_size, method, **case)
    sparse = run_epochs(data, y, by_row, sizes, batch_size, method, **case)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sparse[0], dense[0], rtol=max(64 * eps, 1e-6 * (dtype == np.float32)))
    scale = np.abs(dense[1]).max()
    np.testing.assert_allclose(sparse[1], dense[1], rtol=200 * eps, atol=200 * eps * scale)
    for here, there in zip(sparse[2], dense[2], strict=True):
        np.testing.assert_allclose(here, there, rtol=200 * eps, atol=200 * eps * np.abs(there).max(initial=0))


def test_an_epoch_takes_the_rows_in_an_order_of_its_own():
    X, y = rng().standard_normal((40, 3)), np.arange(40) % 3
    options = {"solver": "sgd", "max_iter": 1, "batch_size": 4, "learning_rate_init": 0.5}

    def after(**more):
        return quiet(fs.SoftmaxClassifier(**options, **more), X, y).coef_

    assert same_bits(after(random_state=0), after(random_state=0))
    one, two, three = after(shuffle=False, random_state=0), after(random_state=0), after(random_state=1)
    assert not any(np.allclose(a, b) for a, b in ((one, two), (two, three), (one, three)))
