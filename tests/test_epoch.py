"""An epoch in one call: threads change no bit, and lazy steps of sparse data are those of the same data as a matrix."""

import numpy as np
import pytest
import scipy.sparse
from helpers import JIT, rng

import fastsoftmax as fs
from fastsoftmax.kernels.fit.optimizers import ADAM, NESTEROV, SGD
from fastsoftmax.kernels.layer.lazy import is_lazy
from fastsoftmax.training.objective import Network, Objective

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


def run_epochs(X, y, by_row, sizes, batch_size, method, alpha=1.5, epochs=2, momentum=0.9, **options):
    """-> losses, parameters, and the state of the descent, from parameters that are nowhere 0 but where pinned."""
    network, dtype = Network(np.array(sizes), "tanh"), X.dtype
    pins = sizes[-1] == 2
    objective = Objective(X, y, network, by_row, alpha=alpha, pins_first_class=pins, **options)
    params = (0.3 * rng(7).standard_normal(network.n_params)).astype(dtype)
    for k, (weight, bias) in enumerate(network.layers(params)):
        bias[:] *= objective.fit_intercept
        if pins and k == len(sizes) - 2:
            weight[0], bias[0] = 0, 0
    moment = (0.01 * rng(8).standard_normal(params.size)).astype(dtype) * (params != 0)
    momentum = min(momentum, 0.9) if method == ADAM else momentum
    state = moment, np.abs(moment) ** 2, np.array([method, 0.05, momentum, 0.99, 1e-3, 2.0])
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
        (2600, (784, 70, 5), 1300, SGD, 1),  # more rows than a room holds
        (600, (500, 40, 3), 300, ADAM, 0.05),
        (600, (5000, 20, 3), 30, SGD, 0.01),  # lazy
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


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_by_blocks_and_units_is_that_by_logits(method):
    """Batches of several blocks, layers of several bands: against the way back through softmax_vjp, batch by batch."""
    sizes = (150, 60, 31, 5)
    given = data_of(700, sizes, np.float64, weighted=True)
    (loss, params, state), right = (
        run_epochs(*given, sizes, 330, method, epochs=1, backward=way) for way in ("fused", "vjp")
    )
    np.testing.assert_allclose(loss, right[0], rtol=1e-12)
    np.testing.assert_allclose(params, right[1], rtol=1e-9, atol=1e-12)
    for here, there in zip(state, right[2], strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-8, atol=1e-12)


CASES = [
    {},
    {"alpha": 0.0},
    {"alpha": 40.0},
    {"momentum": 0.0},
    {"momentum": 0.0, "alpha": 0.0},
    {"momentum": 1.0},
    {"sizes": (300, 9, 4)},
    {"sizes": (300, 2)},
    {"sizes": (300, 21), "fit_intercept": False},
    {"weighted": True, "batch_size": 5},
    {"weighted": True, "batch_size": 1},  # batches without weight
    {"loss": "squared_error", "label_smoothing": 0.1},
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_sparse_epochs_are_those_of_the_dense_data(case, method, dtype):
    """Of 300 features a batch meets few, and some none: its lazy steps of sgd end where dense ones do, at once."""
    case = {"sizes": (300, 7), "batch_size": 11, "weighted": False} | case
    sizes, batch_size, weighted = case.pop("sizes"), case.pop("batch_size"), case.pop("weighted")
    X, y, by_row = data_of(130 if batch_size > 1 else 60, sizes, dtype, density=0.02, weighted=weighted)
    by_row[:30:2] = 0
    data = scipy.sparse.csr_array(X)
    assert is_lazy((data.data, data.indices, data.indptr), 300, len(y) // batch_size, [method]) == (method != ADAM)
    dense = run_epochs(X, y, by_row, sizes, batch_size, method, **case)
    sparse = run_epochs(data, y, by_row, sizes, batch_size, method, **case)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(sparse[0], dense[0], rtol=max(64 * eps, 1e-6 * (dtype == np.float32)))
    scale = np.abs(dense[1]).max()
    np.testing.assert_allclose(sparse[1], dense[1], rtol=200 * eps, atol=200 * eps * scale)
    for here, there in zip(sparse[2], dense[2], strict=True):
        np.testing.assert_allclose(here, there, rtol=200 * eps, atol=200 * eps * np.abs(there).max(initial=0))
