"""What is minimised: its value by a formula written out here, its derivatives by finite differences, in each way."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from helpers import JIT, derivative, rng

import fastsoftmax as fs
from fastsoftmax import kernels
from fastsoftmax.kernels.fit.optimizers import ADAM, NESTEROV, SGD
from fastsoftmax.training.array_objective import ArrayObjective
from fastsoftmax.training.backward import BACKWARD
from fastsoftmax.training.network import ACTIVATIONS, Network

NUMPY_ACTIVATIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
}


def problem(hidden=(), dtype=np.float64, n=60, n_classes=4, soft=False, sparse=False, weighted=True, **options):
    """Uneven random data, weights of 0 among them, and parameters that keep what is pinned at 0."""
    random = rng(len(hidden) + 10 * n_classes + n)
    X = random.standard_normal((n, 5)) * [0.3, 1, 2, 0.7, 1.5] + [0, 1, -1, 0, 2]
    X = np.ascontiguousarray(np.where(random.random(X.shape) < 0.5, 0, X) if sparse else X, dtype)
    targets = random.dirichlet(np.ones(n_classes), n).astype(dtype) if soft else random.integers(0, n_classes, n)
    network = Network(np.array([5, *hidden, n_classes]), options.pop("activation", "tanh"))
    by_row = random.integers(0, 4, n) + 0.5 * random.integers(0, 2, n) if weighted else np.empty(0)
    data = scipy.sparse.csr_array(X) if sparse else X
    objective = ArrayObjective(data, targets, network, by_row, pins_first_class=n_classes == 2, **options)
    params = (0.5 * random.standard_normal(network.n_params)).astype(dtype)
    return objective, params * free(objective, params).astype(dtype)


def free(objective, params):
    """1 for the parameters that are to be fitted."""
    mask = np.ones_like(params)
    layers = objective.network.layers(mask)
    for _, bias in layers:
        bias[:] = objective.fit_intercept
    if objective.pins_first_class:
        layers[-1][0][0], layers[-1][1][0] = 0, 0
    return mask


def value_in_numpy(objective, params):
    """F, written out."""
    X = objective.X.toarray() if scipy.sparse.issparse(objective.X) else objective.X
    a, squares = X.astype(np.float64), 0.0
    layers = objective.network.layers(params.astype(np.float64))
    for k, (weight, bias) in enumerate(layers):
        squares += (weight**2).sum()
        a = a @ weight.T + bias
        if k < len(layers) - 1:
            a = NUMPY_ACTIVATIONS[objective.network.activation](a)
    log_probs = a - np.log(np.exp(a - a.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
    log_probs -= a.max(axis=1, keepdims=True)
    n_classes, t = a.shape[1], objective.targets
    y = np.eye(n_classes)[t] if t.ndim == 1 else t.astype(np.float64)
    by_row = objective.sample_weight if objective.sample_weight.size else np.ones(len(y))
    smooth = (1 - objective.label_smoothing) * y + objective.label_smoothing / n_classes
    if objective.loss == "cross_entropy":
        losses = by_row * -(smooth * log_probs).sum(axis=1)
    else:
        losses = by_row * ((np.exp(log_probs) - smooth) ** 2).sum(axis=1)
    total = by_row.sum()
    return (losses.sum() + 0.5 * objective.alpha * squares) / total


CASES = [
    {},
    {"loss": "squared_error", "alpha": 3.0},
    {"hidden": (6,), "alpha": 2.0, "activation": "tanh"},
    {"hidden": (7, 3), "alpha": 2.0, "activation": "logistic", "soft": True, "loss": "squared_error"},
    {"hidden": (7, 3), "activation": "identity", "label_smoothing": 0.2, "fit_intercept": False},
    {"n_classes": 2, "alpha": 1.0, "label_smoothing": 0.1},
    {"n_classes": 2, "hidden": (4,), "weighted": False, "activation": "relu"},
    {"n_classes": 20, "soft": True, "fit_intercept": False},
    {"sparse": True, "alpha": 1.0},
    {"sparse": True, "alpha": 1.0, "hidden": (6,)},
    {"n": 1100, "hidden": (6,), "n_classes": 3},
]
ids = [",".join(f"{k}={v}" for k, v in case.items()) or "plain" for case in CASES]


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_value_and_gradient(case, backward):
    objective, params = problem(**case, backward=backward)
    value, grad = objective.value_and_grad(params)
    assert value == pytest.approx(value_in_numpy(objective, params), rel=1e-12)
    mask = free(objective, params)
    assert (grad[mask == 0] == 0).all()
    direction = rng(3).standard_normal(params.shape) * mask
    numerical = derivative(lambda at: value_in_numpy(objective, at), params, direction, h=1e-4)
    assert np.vdot(grad, direction) == pytest.approx(numerical, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("hidden", [(), (6,)])
def test_float32_is_float64_to_rounding(hidden):
    objective, params = problem(hidden, dtype=np.float32, alpha=1.0)
    value, grad = objective.value_and_grad(params)
    wide, _ = problem(hidden, alpha=1.0)
    right_value, right_grad = wide.value_and_grad(params.astype(np.float64))
    assert grad.dtype == np.float32
    assert value == pytest.approx(right_value, rel=1e-5)
    np.testing.assert_allclose(grad, right_grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [c for c in CASES if not c.get("hidden")], ids=str)
def test_the_hessian_is_the_gradients_derivative(case):
    objective, params = problem(**case)
    direction = rng(4).standard_normal(params.shape) * free(objective, params)
    out = np.empty_like(params)
    product = objective.hvp(params)(direction, out)
    assert product is out
    h = 1e-5
    numerical = (
        objective.value_and_grad(params + h * direction)[1] - objective.value_and_grad(params - h * direction)[1]
    ) / (2 * h)
    np.testing.assert_allclose(product, numerical, rtol=1e-5, atol=1e-8)


@pytest.mark.skipif(not JIT, reason="without the JIT there is one thread")
def test_threads_do_not_change_a_bit():
    objective, params = problem((8,), n=5000)
    with fs.num_threads(1):
        alone = objective.value_and_grad(params)
    for n in (2, 3):
        with fs.num_threads(n):
            value, grad = objective.value_and_grad(params)
        assert value == alone[0]
        assert np.array_equal(grad, alone[1])


def epoch_in_numpy(objective, params, order, batch_size, moment, squares, rule):
    """An epoch by finite formulas: gradients by Objective.value_and_grad of a batch, checked above; the steps here."""
    method, rate, decay, decay_squares, epsilon, t = rule
    lost = weighed = 0.0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        by_row = objective.sample_weight[rows] if objective.sample_weight.size else objective.sample_weight
        batch = ArrayObjective(
            objective.X[rows],
            objective.targets[rows],
            objective.network,
            by_row,
            loss=objective.loss,
            label_smoothing=objective.label_smoothing,
            fit_intercept=objective.fit_intercept,
            pins_first_class=objective.pins_first_class,
        )
        if batch.total == 0:
            continue
        batch.alpha = objective.alpha * batch.total / objective.total  # the penalty of the whole
        value, grad = batch.value_and_grad(params)
        lost, weighed, t = lost + value * batch.total, weighed + batch.total, t + 1
        if method == ADAM:
            moment[:] = decay * moment + (1 - decay) * grad
            squares[:] = decay_squares * squares + (1 - decay_squares) * grad**2
            step = rate * np.sqrt(1 - decay_squares**t) / (1 - decay**t)
            params -= step * moment / (np.sqrt(squares) + epsilon)
        else:
            moment[:] = decay * moment - rate * grad
            params += decay * moment - rate * grad if method == NESTEROV else moment
    return lost / weighed


@pytest.mark.parametrize("backward", ["fused", "vjp"])
@pytest.mark.parametrize(
    ("case", "method"),
    [
        ({"alpha": 2.0}, SGD),
        ({"alpha": 2.0, "hidden": (6,), "label_smoothing": 0.1}, NESTEROV),
        ({"n_classes": 2, "hidden": (6, 4), "soft": True, "loss": "squared_error"}, ADAM),
        ({"sparse": True, "alpha": 1.0}, ADAM),
        ({"sparse": True, "hidden": (5,), "weighted": False}, SGD),
        ({"n": 1100, "n_classes": 20, "weighted": False, "fit_intercept": False}, SGD),
    ],
    ids=str,
)
def test_an_epoch_is_descent_batch_by_batch(case, method, backward):
    objective, params = problem(**case, backward=backward)
    n, batch_size = len(objective.targets), 700 if case.get("n") else 7
    order = rng(5).permutation(n)
    rule = np.array([method, 0.05, 0.9, 0.99, 0.1, 3.0])
    right, moments = params.copy(), [np.zeros_like(params), np.zeros_like(params)]
    loss = objective.epoch(params, order, np.empty(0, np.uint64), batch_size, (*[m.copy() for m in moments], rule))
    expected = epoch_in_numpy(objective, right, order, batch_size, *moments, np.array([*rule[:5], 3.0]))
    assert loss == pytest.approx(expected, rel=1e-12)
    mask = free(objective, params)
    np.testing.assert_allclose(params * mask, right * mask, rtol=1e-9, atol=1e-12)
    assert rule[5] == 3 + -(-n // batch_size)


@pytest.mark.parametrize("backward", ["fused", "vjp"])
def test_a_batch_without_weight_is_passed_over(backward):
    objective, params = problem(n=20, backward=backward)
    objective.sample_weight[:10], objective.sample_weight[10:] = 0, 0.01
    rule = np.array([SGD, 0.1, 0.9, 0, 0, 0.0])
    loss = objective.epoch(
        params, np.arange(20), np.empty(0, np.uint64), 10, (np.zeros_like(params), np.zeros_like(params), rule)
    )
    assert np.isfinite(loss)
    assert rule[5] == 1
    assert np.isfinite(params).all()


def test_shuffling_is_a_fair_permutation_that_the_seed_decides():
    def shuffled(seed, n=6):
        order, state = np.arange(n), np.array([seed], np.uint64)
        kernels.shuffle(order, state)
        return order

    assert np.array_equal(np.sort(shuffled(3, 1000)), np.arange(1000))
    assert np.array_equal(shuffled(3), shuffled(3))
    places = np.zeros((6, 6))
    for seed in range(6000):
        places[shuffled(seed), np.arange(6)] += 1
    assert np.abs(places - 1000).max() < 5 * np.sqrt(1000)  # each number is at each place as often


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_and_their_slopes(activation, dtype):
    z = np.array([-800, -90, -30, -1.5, -1e-3, -0.0, 0, 1e-3, 0.7, 4, 30, 90, 800, np.nan] + 5 * [0.1], dtype)
    a = z.copy()
    kernels.activate(a, ACTIVATIONS[activation])
    with np.errstate(over="ignore"):
        right = NUMPY_ACTIVATIONS[activation](z.astype(np.float64))
    np.testing.assert_allclose(a, right, rtol=4 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).eps)
    slope = {"identity": np.ones_like(right), "logistic": right * (1 - right), "tanh": 1 - right**2, "relu": right > 0}
    cotangent = rng().standard_normal(len(z)).astype(dtype)
    keep = ~np.isnan(z)
    expected = (cotangent * slope[activation])[keep]
    kernels.times_slope(cotangent, a, ACTIVATIONS[activation])
    np.testing.assert_allclose(cotangent[keep], expected, rtol=8 * np.finfo(dtype).eps, atol=8 * np.finfo(dtype).eps)


def test_layers_are_views_in_order():
    network = Network(np.array([3, 2, 4]))
    params = np.arange(float(network.n_params))
    layers = network.layers(params)
    assert [weight.shape for weight, _ in layers] == [(b, a) for a, b in pairwise([3, 2, 4])]
    assert np.array_equal(np.concatenate([part.ravel() for layer in layers for part in layer]), params)
    layers[1][1][:] = -1
    assert (params[-4:] == -1).all()


def test_what_is_not_said_and_what_is_not_copied():
    X, targets, by_row = rng().random((6, 3)), np.arange(6) % 2, np.ones(6)
    objective = ArrayObjective(X, targets, Network(np.array([3, 2])), by_row)
    assert (objective.loss, objective.backward) == ("cross_entropy", "fused")
    assert (objective.alpha, objective.l1, objective.label_smoothing) == (0, 0, 0)
    assert (objective.fit_intercept, objective.pins_first_class) == (True, False)
    assert (objective.rows is X, objective.targets is targets, objective.sample_weight is by_row) == (True,) * 3
    assert (objective.total, objective.largest_weight) == (6, 1)
    params = np.zeros(objective.network.n_params)
    out = np.full_like(params, np.nan)
    assert objective.value_and_grad(params, out)[1] is out
    assert np.array_equal(out, objective.value_and_grad(params)[1])
    spread = objective.spread(4)
    assert objective.spread(4) is spread
    assert objective.spread(5) is not spread
    weighted, _ = problem()
    mean = np.average(weighted.X, axis=0, weights=weighted.sample_weight)
    np.testing.assert_allclose(weighted.spread(10).mean, mean, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("sparse", "method", "work"), [(False, SGD, 134), (False, ADAM, 134), (True, SGD, 161), (True, ADAM, 224)]
)
def test_the_work_of_a_batch_in_elements_of_a_row(sparse, method, work):
    """What is read, eight products for one where X is dense; the later layers; and the step over all parameters."""
    objective, _ = problem((6,), sparse=sparse)  # 5 * 6 weights that read X, 34 other parameters
    assert objective.batch_work(120 if sparse else 300, 60, 10, method) == work
    one_row = objective.batch_work(2 if sparse else 5, 1, 10, method)
    assert one_row == work
    assert objective.batch_work(0, 0, 10, method) == work - 10 * (12 if sparse else 3)


def test_sums_over_parts_are_those_of_all_rows(monkeypatch):
    whole, params = problem(n=1100)
    monkeypatch.setattr("fastsoftmax.training.parts.MOST_GROUPS", 1)
    parted, _ = problem(n=1100)
    assert len(list(parted.parts)) == 3
    assert (parted.total, parted.largest_weight) == (whole.total, whole.largest_weight)
    (value, grad), (right, right_grad) = parted.value_and_grad(params), whole.value_and_grad(params)
    assert value == pytest.approx(right, rel=1e-14)
    np.testing.assert_allclose(grad, right_grad, rtol=1e-11, atol=1e-14)
    products = [o.hvp(params)(np.ones_like(params), np.empty_like(params)) for o in (parted, whole)]
    np.testing.assert_allclose(*products, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("backward", BACKWARD)
def test_every_way_back_from_logits_is_the_gradient_of_the_sum(loss, backward):
    logits, targets = rng().standard_normal((7, 4)), np.arange(7) % 4
    options = {"sample_weight": rng(1).random(7), "label_smoothing": 0.1}
    expected, grad = getattr(fs, f"{loss}_value_and_grad")(logits, targets, reduction="sum", **options)
    value, found = BACKWARD[backward](loss, logits, targets, options)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(found, grad, atol=1e-14)
