"""The thin trainer: mini-batch gradient descent with momentum, and one of three ways to go backward through softmax.

forward     a_0 = X;  a_k = activation(a_{k-1} W_k^T + b_k);  logits = a_K W^T + b
loss        and dL/dlogits, by one of BACKWARD: the only thing that tells the compared models apart
backward    dL/dW, dL/db and dL/da of each dense layer, from the last to the first
step        velocity = momentum velocity - learning_rate gradient;  parameter += velocity
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastsoftmax import functional, reference
from fastsoftmax._arrays import Array, check_shape, contiguous, real_array
from fastsoftmax._numbers import read_count, read_number

LOSSES = ("cross_entropy", "squared_error")


def _jacobian(loss: str, logits: Array, labels: Array) -> tuple[float, Array]:
    """dL/dp times the Jacobian of each row, built: (N, C, C)."""
    return getattr(reference, f"{loss}_value_and_grad")(logits, labels)


def _vjp(loss: str, logits: Array, labels: Array) -> tuple[float, Array]:
    """dL/dp, then softmax_vjp: O(C) a row."""
    probs = functional.softmax(logits)
    targets = reference.one_hot(labels, logits.shape[1], logits.dtype)
    grad_probs = getattr(reference, f"{loss}_grad_probs")(probs, targets) / len(labels)
    return getattr(functional, loss)(logits, labels), functional.softmax_vjp(probs, grad_probs)


def _fused(loss: str, logits: Array, labels: Array) -> tuple[float, Array]:
    """Loss and dL/dlogits in one kernel."""
    return getattr(functional, f"{loss}_value_and_grad")(logits, labels)


BACKWARD: dict[str, Callable[[str, Array, Array], tuple[float, Array]]] = {
    "jacobian": _jacobian,
    "vjp": _vjp,
    "fused": _fused,
}

# Each activation, and its derivative written with its value a.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, lambda a: np.ones_like(a)),
    "logistic": (lambda z: 0.5 + 0.5 * np.tanh(0.5 * z), lambda a: a * (1 - a)),
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0), lambda a: (a > 0).astype(a.dtype)),
}


@dataclass
class Network:
    """Dense layers with an activation between them; a single layer is softmax regression.

    Attributes
    ----------
    weights : list of ndarray (n_out, n_in)
        The last one is (n_classes, n_in).
    biases : list of ndarray (n_out,)
    activation : {"identity", "logistic", "tanh", "relu"}
    loss_curve : list of float
        The objective after each epoch, as met in it: the mean loss plus the penalty.
    """

    weights: list[Array]
    biases: list[Array]
    activation: str = "relu"
    loss_curve: list[float] = field(default_factory=list)

    def layer_inputs(self, X: Array) -> list[Array]:
        """What each dense layer is given: X, then the activations of the hidden layers."""
        inputs = [X]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(ACTIVATIONS[self.activation][0](functional.dense(inputs[-1], weight, bias)))
        return inputs

    def logits(self, X: ArrayLike) -> Array:
        """Logits (n_samples, n_classes) of samples X (n_samples, n_features)."""
        inputs = self.layer_inputs(real_array("X", X))
        return functional.dense(inputs[-1], self.weights[-1], self.biases[-1])

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities (n_samples, n_classes)."""
        return functional.softmax(self.logits(X))

    def predict(self, X: ArrayLike) -> Array:
        """The most probable class of each sample, (n_samples,)."""
        return self.logits(X).argmax(axis=1)

    def value_and_grad(self, X: Array, labels: Array, loss: str, backward: str) -> tuple[float, list[Array]]:
        """The mean loss, and its gradients in the order of `parameters`."""
        inputs = self.layer_inputs(X)
        logits = functional.dense(inputs[-1], self.weights[-1], self.biases[-1])
        value, cotangent = BACKWARD[backward](loss, logits, labels)
        grads: list[Array] = []
        for k in reversed(range(len(self.weights))):
            grad_X, grad_weight, grad_bias = functional.dense_vjp(
                inputs[k], self.weights[k], cotangent, with_grad_X=k > 0
            )
            grads = [grad_weight, grad_bias, *grads]
            if grad_X is not None:
                cotangent = grad_X * ACTIVATIONS[self.activation][1](inputs[k])
        return value, grads

    @property
    def parameters(self) -> list[Array]:
        """Weight and bias of each layer in turn; the arrays themselves."""
        return [array for layer in zip(self.weights, self.biases, strict=True) for array in layer]


@np.errstate(over="ignore", invalid="ignore")  # a loss that is not finite is told by an error
def train(
    X: ArrayLike,
    y: ArrayLike,
    *,
    n_classes: int | None = None,
    hidden_layer_sizes: int | Sequence[int] = (),
    activation: str = "relu",
    loss: str = "cross_entropy",
    backward: str = "fused",
    alpha: float = 0.0,
    learning_rate_init: float = 0.05,
    momentum: float = 0.9,
    batch_size: int = 32,
    max_iter: int = 20,
    random_state: Any = None,
) -> Network:
    r"""Train softmax regression or a multilayer network by mini-batch gradient descent with momentum.

    The objective is :math:`\frac1N \sum_n L_n + \frac{\alpha}{2N} \sum_k \|W_k\|^2`; biases are not penalised.

    Parameters
    ----------
    X : array_like (n_samples, n_features)
        float32 is trained in float32, everything else in float64.
    y : array_like of int (n_samples,)
        Classes, 0 to n_classes - 1.
    n_classes : int, optional
        max(y) + 1 by default.
    hidden_layer_sizes : sequence of int, or int, default ()
        Units of each hidden layer; no layer is softmax regression.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    loss : {"cross_entropy", "squared_error"}
    backward : {"fused", "vjp", "jacobian"}
        How dL/dlogits is computed; the same up to rounding, at a different price.
    alpha : float, default 0
        Strength of the L2 penalty, for the whole data set: that of LogisticRegression(C=1/alpha).
    learning_rate_init, momentum : float
    batch_size, max_iter : int
        Samples in a step, passes over the data.
    random_state : int, numpy.random.Generator or None
        Starting weights (uniform, Glorot & Bengio 2010, as MLPClassifier) and the order of the samples.

    Returns
    -------
    Network

    Raises
    ------
    TypeError
        A size that is not an integer, a rate that is not a number, y of another kind than integers.
    ValueError
        An argument out of its range, X that is not finite, a y that is not a class, a loss that is not finite.

    Examples
    --------
    >>> from fastsoftmax.training import train
    >>> network = train([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1], max_iter=200, random_state=0)
    >>> network.predict([[0.5], [2.5]])
    array([0, 1])
    """
    samples, labels = _read_data(X, y)
    hidden = hidden_layer_sizes if isinstance(hidden_layer_sizes, Iterable) else (hidden_layer_sizes,)
    sizes = [samples.shape[1], *(read_count("hidden_layer_sizes", size) for size in hidden)]
    sizes.append(int(labels.max()) + 1 if n_classes is None else read_count("n_classes", n_classes))
    bad = (labels < 0) | (labels >= sizes[-1])
    if bad.any():
        raise ValueError(f"y[{bad.argmax()}] = {labels[bad.argmax()]} is not a class: 0 to {sizes[-1] - 1}")
    batch_size, max_iter = read_count("batch_size", batch_size), read_count("max_iter", max_iter)
    learning_rate_init = read_number("learning_rate_init", learning_rate_init, above=0)
    alpha, momentum = read_number("alpha", alpha, least=0), read_number("momentum", momentum, least=0, below=1)
    _check_choices(backward=(backward, BACKWARD), activation=(activation, ACTIVATIONS), loss=(loss, LOSSES))

    rng = np.random.default_rng(random_state)
    network = _initial(sizes, activation, samples.dtype, rng)
    velocities = [np.zeros_like(parameter) for parameter in network.parameters]
    for _ in range(max_iter):
        order = rng.permutation(len(samples))
        total = 0.0
        for start in range(0, len(samples), batch_size):
            batch = order[start : start + batch_size]
            value, grads = network.value_and_grad(samples[batch], labels[batch], loss, backward)
            total += float(value) * len(batch)
            for k, (parameter, velocity, grad) in enumerate(zip(network.parameters, velocities, grads, strict=True)):
                if alpha and k % 2 == 0:  # a weight, not a bias
                    grad += alpha / len(samples) * parameter
                velocity *= momentum
                velocity -= learning_rate_init * grad
                parameter += velocity
        penalty = sum(float(np.vdot(weight, weight)) for weight in network.weights) if alpha else 0.0
        network.loss_curve.append((total + 0.5 * alpha * penalty) / len(samples))
        if not np.isfinite(network.loss_curve[-1]):
            raise ValueError(f"the loss is {network.loss_curve[-1]}: a smaller learning_rate_init may help")
    return network


def _read_data(X: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    samples, labels = real_array("X", X), real_array("y", y)
    if samples.ndim != 2 or not samples.size:
        raise ValueError(f"X must have shape (n_samples, n_features) and not be empty, got {samples.shape}")
    check_shape("y", labels, samples.shape[:1])
    if labels.dtype.kind not in "iu":
        raise TypeError(f"y must hold integers, the class of each sample, got {labels.dtype}")
    if not np.isfinite(samples).all():
        raise ValueError("X must be finite, got NaN or infinity")
    dtype = np.dtype(np.float32 if samples.dtype == np.float32 else np.float64)
    return contiguous(samples, dtype), labels


def _check_choices(**arguments: tuple[str, Iterable[str]]) -> None:
    for name, (value, choices) in arguments.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def _initial(sizes: Sequence[int], activation: str, dtype: np.dtype[Any], rng: np.random.Generator) -> Network:
    network = Network([], [], activation)
    for n_in, n_out in pairwise(sizes):
        bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (n_in + n_out))
        network.weights.append(rng.uniform(-bound, bound, (n_out, n_in)).astype(dtype))
        network.biases.append(rng.uniform(-bound, bound, n_out).astype(dtype))
    return network
