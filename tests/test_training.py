"""The trainer: the three ways back agree, the gradients are those of the objective, and it learns."""

import numpy as np
import pytest
from helpers import derivative, rng
from sklearn.datasets import load_digits, load_iris

from fastsoftmax import functional
from fastsoftmax.training import ACTIVATIONS, BACKWARD, Network, train


def data(load=load_iris, dtype=np.float64):
    X, y = load(return_X_y=True)
    return ((X - X.mean(axis=0)) / (X.std(axis=0) + 1e-3)).astype(dtype), y


def largest_difference(a, b):
    return max(np.abs(p - q).max() for p, q in zip(a.parameters, b.parameters, strict=True))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize(("hidden", "limits"), [((), (1e-10, 1e-3)), ((8,), (1e-9, 1e-2)), ((6, 5), (1e-5, None))])
def test_the_three_ways_agree_to_rounding_after_training(hidden, limits, loss):
    """After 10 epochs on digits, float64: within 1e-10, float32: 1e-3; hidden layers make more of each rounding."""
    for dtype, limit in zip((np.float64, np.float32), limits, strict=True):
        if limit is None:  # float32 through two hidden layers parts after some hundred steps
            continue
        X, y = data(load_digits, dtype)
        settings = {"hidden_layer_sizes": hidden, "loss": loss, "alpha": 1.0, "max_iter": 10, "random_state": 3}
        networks = [train(X, y, backward=way, activation="tanh", **settings) for way in BACKWARD]
        for network in networks[1:]:
            assert largest_difference(network, networks[0]) < limit
            np.testing.assert_allclose(network.loss_curve, networks[0].loss_curve, rtol=1e-4)
        assert all(p.dtype == dtype for network in networks for p in network.parameters)


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_every_layer_equal_finite_differences(activation, loss, backward):
    X, y = data()
    X, y = X[::10], y[::10]
    random = rng(1)
    sizes = [(5, 4), (3, 5)]
    network = Network(
        [random.standard_normal(s) for s in sizes], [random.standard_normal(s[0]) for s in sizes], activation
    )
    _, grads = network.value_and_grad(X, y, loss, backward)
    for parameter, grad in zip(network.parameters, grads, strict=True):
        direction, start = random.standard_normal(parameter.shape), parameter.copy()

        def value(at, parameter=parameter):
            parameter[:] = at
            return getattr(functional, loss)(network.logits(X), y)

        numerical = derivative(value, start, direction, h=1e-4)
        parameter[:] = start
        assert np.vdot(grad, direction) == pytest.approx(numerical, rel=1e-6, abs=1e-9)


def test_one_step_is_gradient_descent_with_momentum_and_penalty():
    """Two epochs of one full batch, written out."""
    X, y = data()
    settings = {"alpha": 3.0, "learning_rate_init": 0.1, "momentum": 0.5, "batch_size": len(X), "random_state": 0}
    start = train(X, y, max_iter=1, **{**settings, "learning_rate_init": 1e-300})
    weight, bias = start.weights[0].copy(), start.biases[0].copy()
    velocity = [0.0, 0.0]
    for _ in range(2):
        probs = functional.softmax(X @ weight.T + bias)
        grad = (probs - np.eye(3)[y]) / len(X)
        velocity[0] = 0.5 * velocity[0] - 0.1 * (grad.T @ X + 3.0 / len(X) * weight)
        velocity[1] = 0.5 * velocity[1] - 0.1 * grad.sum(axis=0)
        weight, bias = weight + velocity[0], bias + velocity[1]
    network = train(X, y, max_iter=2, **settings)
    np.testing.assert_allclose(network.weights[0], weight, rtol=1e-12)
    np.testing.assert_allclose(network.biases[0], bias, rtol=1e-12)
    squares = (start.weights[0] ** 2).sum()
    loss = functional.cross_entropy(start.logits(X), y) + 0.5 * 3.0 / len(X) * squares
    assert start.loss_curve == pytest.approx([loss])


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_it_learns(hidden):
    X, y = data(load_digits)
    network = train(X[::2], y[::2], hidden_layer_sizes=hidden, random_state=0)
    assert (network.predict(X[1::2]) == y[1::2]).mean() > 0.93
    assert network.loss_curve[-1] < 0.2 * network.loss_curve[0]
    np.testing.assert_allclose(network.predict_proba(X).sum(axis=1), 1)
    assert network.weights[-1].shape[0] == 10


def test_the_seed_decides():
    X, y = data()
    first, again, other = (train(X, y, max_iter=2, random_state=seed) for seed in (1, 1, 2))
    assert largest_difference(first, again) == 0
    assert largest_difference(first, other) > 0


def test_inputs_are_not_written_and_classes_may_be_missing():
    X, y = data()
    before = X.copy()
    network = train(X, y, n_classes=5, max_iter=1)
    assert np.array_equal(X, before)
    assert network.predict_proba(X).shape == (150, 5)


def test_bad_arguments():
    X, y = data()
    bad = X.copy()
    bad[3, 1] = np.nan
    for arguments, kind, message in (
        ((X[0], y), ValueError, "X must have shape"),
        ((X[:0], y[:0]), ValueError, "X must have shape .* and not be empty"),
        ((X, y[1:]), ValueError, r"y must have shape \(150,\), got \(149,\)"),
        ((X, y + 0.5), TypeError, "y must hold integers"),
        ((X, y - 1), ValueError, r"y\[0\] = -1 is not a class: 0 to 1"),
        ((bad, y), ValueError, "X must be finite"),
    ):
        with pytest.raises(kind, match=message):
            train(*arguments)
    for options, message in (
        ({"backward": "magic"}, "backward must be one of jacobian, vjp, fused, got 'magic'"),
        ({"activation": "gelu"}, "activation must be one of"),
        ({"loss": "hinge"}, "loss must be one of cross_entropy, squared_error, got 'hinge'"),
        ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes must be at least 1, got 0"),
        ({"n_classes": 0}, "n_classes must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"learning_rate_init": -1.0}, "learning_rate_init must be finite and above 0"),
        ({"learning_rate_init": np.inf}, "learning_rate_init must be finite"),
        ({"momentum": 1.0}, "momentum must be finite and at least 0 and below 1"),
        ({"alpha": -1.0}, "alpha must be finite and at least 0"),
        ({"alpha": np.nan}, "alpha must be finite"),
        ({"n_classes": 2}, r"y\[100\] = 2 is not a class: 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            train(X, y, **options)
    for options, message in (
        ({"hidden_layer_sizes": (1.5,)}, r"hidden_layer_sizes must be an integer, got 1\.5"),
        ({"hidden_layer_sizes": None}, "hidden_layer_sizes must be an integer, got None"),
        ({"batch_size": 2.5}, r"batch_size must be an integer, got 2\.5"),
        ({"max_iter": "a"}, "max_iter must be an integer, got 'a'"),
        ({"momentum": "a"}, "momentum must be a number, got 'a'"),
    ):
        with pytest.raises(TypeError, match=message):
            train(X, y, **options)
    assert train(X, y, hidden_layer_sizes=4, max_iter=1).weights[0].shape == (4, 4)
    with pytest.raises(ValueError, match=r"the loss is .*: a smaller learning_rate_init may help"):
        train(X * 1e150, y, learning_rate_init=1e200)
