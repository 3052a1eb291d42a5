"""The parameters of SoftmaxClassifier, checked, and what they name: the network, its starting weights, the solver."""

import warnings
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsoftmax._gate.arrays import Array, is_sparse
from fastsoftmax._gate.numbers import check_choice, read_count, read_flag, read_number, read_smoothing
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.optimizers import ADAM, METHOD
from fastsoftmax.training.descent import Descent, DescentState, start_descent
from fastsoftmax.training.loop import Solver
from fastsoftmax.training.objective import ACTIVATIONS, BACKWARD, Network
from fastsoftmax.training.quasi_newton import QuasiNewton

if TYPE_CHECKING:
    from fastsoftmax.classifier.estimator import SoftmaxClassifier

STOCHASTIC = ("sgd", "adam")
SOLVERS = ("lbfgs", "newton-cg", *STOCHASTIC)
SCHEDULES = ("constant", "invscaling", "adaptive")
AUTO_BATCH = 200


def hidden_sizes(model: "SoftmaxClassifier") -> list[int]:
    """hidden_layer_sizes as a list."""
    sizes = model.hidden_layer_sizes
    return [read_count("hidden_layer_sizes", n) for n in (sizes if isinstance(sizes, Iterable) else (sizes,))]


def check_parameters(model: "SoftmaxClassifier") -> None:
    """Raise a TypeError or ValueError that names the first parameter that cannot be used."""
    hidden = hidden_sizes(model)
    choices = (("activation", ACTIVATIONS), ("loss", LOSSES), ("solver", SOLVERS), ("backward", BACKWARD))
    for name, values in (*choices, ("learning_rate", SCHEDULES)):
        check_choice(name, getattr(model, name), values)
    if model.solver == "newton-cg" and (hidden or model.backward != "fused"):
        what = "hidden_layer_sizes=()" if hidden else 'backward="fused"'
        raise ValueError(f"solver='newton-cg' needs {what}: choose 'lbfgs', 'sgd' or 'adam'")
    for name in ("fit_intercept", "shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        read_flag(name, getattr(model, name))
    for name in ("max_iter", "n_iter_no_change"):
        read_count(name, getattr(model, name))
    if model.batch_size != "auto":
        read_count("batch_size", model.batch_size)  # type: ignore[arg-type]
    if model.n_threads is not None:
        read_count("n_threads", model.n_threads)
    for name in ("alpha", "tol", "power_t"):
        read_number(name, getattr(model, name), least=0)
    if model.learning_rate_init != "auto":
        read_number("learning_rate_init", model.learning_rate_init, above=0)  # type: ignore[arg-type]
    read_number("epsilon", model.epsilon, above=0)
    for name in ("beta_1", "beta_2"):
        read_number(name, getattr(model, name), least=0, below=1)
    read_number("momentum", model.momentum, least=0, below=1 + np.finfo(float).eps)
    read_number("validation_fraction", model.validation_fraction, above=0, below=1)
    read_smoothing(model.label_smoothing)


def learning_rate(model: "SoftmaxClassifier") -> float:
    """learning_rate_init as a number."""
    if model.learning_rate_init == "auto":
        return 0.001 if hidden_sizes(model) else 0.01
    return float(model.learning_rate_init)


def network_of(model: "SoftmaxClassifier", n_features: int, n_classes: int) -> Network:
    """The network that the parameters describe."""
    return Network(np.array([n_features, *hidden_sizes(model), n_classes], np.int64), model.activation)


def new_params(network: Network, dtype: Any, model: "SoftmaxClassifier", rng: np.random.RandomState) -> Array:
    """Zeros for a linear model; else uniform after Glorot & Bengio 2010, as MLPClassifier."""
    params = np.zeros(network.n_params, dtype)
    if len(network.sizes) > 2:
        layers = network.layers(params)
        for (n_in, n_out), (weight, bias) in zip(pairwise(network.sizes), layers, strict=True):
            bound = np.sqrt((2.0 if network.activation == "logistic" else 6.0) / (n_in + n_out))
            weight[:] = rng.uniform(-bound, bound, weight.shape)
            if model.fit_intercept:
                bias[:] = rng.uniform(-bound, bound, bias.shape)
        if network.sizes[-1] == 2:
            layers[-1][0][0], layers[-1][1][0] = 0, 0
    return params


def pin_first_class(layer: tuple[Array, Array]) -> None:
    """Give the first of two classes logits 0, without a change of the probabilities."""
    weight, bias = layer
    if len(weight) == 2:
        weight -= weight[0].copy()
        bias -= bias[0]


def dense_coefs(model: "SoftmaxClassifier") -> list[Array]:
    """coefs_ as arrays, whether they are sparse now (`sparsify`) or not."""
    return [coef.toarray() if is_sparse(coef) else coef for coef in model.coefs_]


def kept_params(model: "SoftmaxClassifier", network: Network, dtype: Any, classes: Array) -> Array:
    """The present weights of a fitted model for the network, whose classes may be others: new ones start at zero."""
    params = np.zeros(network.n_params, dtype)
    layers = network.layers(params)
    coefs = dense_coefs(model)
    shapes = [coef.shape[::-1] for coef in coefs[:-1]]
    if shapes != [weight.shape for weight, _ in layers[:-1]] or len(coefs[-1]) != layers[-1][0].shape[1]:
        sizes = [len(coef) for coef in coefs]
        raise ValueError(
            "warm_start needs the features and hidden_layer_sizes of the fit before, "
            f"{sizes}, got {list(network.sizes[:-1])}"
        )
    for k, (weight, bias) in enumerate(layers[:-1]):
        weight[:], bias[:] = coefs[k].T, model.intercepts_[k]
    weight, bias = layers[-1]
    present = list(model.classes_)
    coef, intercept = coefs[-1].T, model.intercepts_[-1]
    if len(present) == 2:
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.append(np.zeros_like(intercept), intercept)
    for c, label in enumerate(classes):
        if label in present:
            weight[c], bias[c] = coef[present.index(label)], intercept[present.index(label)]
    pin_first_class((weight, bias))
    return params


def new_descent(model: "SoftmaxClassifier", params: Array, rng: np.random.RandomState) -> DescentState:
    """The state of sgd or adam at the start."""
    return start_descent(
        params,
        solver=model.solver,
        learning_rate_init=learning_rate(model),
        decays=(model.beta_1, model.beta_2) if model.solver == "adam" else (model.momentum, 0.0),
        nesterovs_momentum=model.nesterovs_momentum,
        epsilon=model.epsilon,
        seed=int(rng.randint(2**31 - 1)) if model.shuffle else None,
    )


def kept_descent(model: "SoftmaxClassifier") -> DescentState | None:
    """The state of its solver that the model has, from which partial_fit can go on; None if there is none."""
    descent: DescentState | None = getattr(model, "_descent", None)
    if descent is None or bool(descent.rule[METHOD] == ADAM) != (model.solver == "adam"):
        return None
    return descent.writable()


def solver_of(
    model: "SoftmaxClassifier",
    n_samples: int,
    validate: Callable[[Array], float] | None,
    max_iter: int,
) -> Solver:
    """The solver that the parameters name."""
    if model._descent is None:
        return QuasiNewton(model.solver, float(model.tol), max_iter)
    batch_size = AUTO_BATCH if model.batch_size == "auto" else int(model.batch_size)
    if batch_size > n_samples and model.batch_size != "auto":
        warnings.warn(f"batch_size={batch_size} is larger than the number of samples, {n_samples}", stacklevel=6)
    return Descent(
        model._descent,
        min(batch_size, n_samples),
        max_iter,
        float(model.tol),
        model.n_iter_no_change,
        learning_rate=model.learning_rate if model.solver == "sgd" else "constant",
        learning_rate_init=learning_rate(model),
        power_t=float(model.power_t),
        validate=validate,
        seen=model.t_,
    )
