"""The parameters of SoftmaxClassifier, read once: checked and resolved; and what they name, the network, its starting
weights, the solver.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError

from fastsoftmax._gate.arrays import Array, is_sparse
from fastsoftmax._gate.numbers import check_choice, read_count, read_flag, read_integer, read_number, read_smoothing
from fastsoftmax.classifier.reports import warn
from fastsoftmax.functional._losses import LOSSES
from fastsoftmax.kernels.fit.optimizers import ADAM, METHOD
from fastsoftmax.training.backward import BACKWARD
from fastsoftmax.training.descent import Descent, DescentState, start_descent
from fastsoftmax.training.lbfgs import LBFGS
from fastsoftmax.training.loop import Solver
from fastsoftmax.training.network import ACTIVATIONS, Network
from fastsoftmax.training.newton_cg import NewtonCG
from fastsoftmax.training.newton_cholesky import NewtonCholesky
from fastsoftmax.training.proximal import ProximalNewton
from fastsoftmax.training.proximal_lbfgs import ProximalLBFGS

STOCHASTIC = ("sgd", "adam")
DETERMINISTIC: dict[str, Callable[[float, int], Solver]] = {
    "lbfgs": LBFGS,
    "newton-cg": NewtonCG,
    "newton-cholesky": NewtonCholesky,
    "coordinate-descent": ProximalNewton,
}
SOLVERS = ("auto", *DETERMINISTIC, *STOCHASTIC)
# Of newton-cholesky: multiplications a row besides those of the Hessian, and of all rows, up to which it beats lbfgs
# (bench_classifier.py: iris 0.60 ms against 0.77; 1000 rows of 20 features, 3 classes, 0.97 against 0.91)
ROW_WORK, SMALL = 100, 500_000
LINEAR, CONVEX = ("hidden_layer_sizes", "backward"), ("hidden_layer_sizes", "backward", "loss")
# What some solvers need: a Hessian, and one that is not indefinite
NEEDS = {"newton-cg": LINEAR, "newton-cholesky": CONVEX, "coordinate-descent": CONVEX}
WITH_L1 = ("coordinate-descent", "lbfgs")  # which take L1: on X by columns, and by passes over the rows
SCHEDULES = ("constant", "invscaling", "adaptive")
AUTO_BATCH = 200


@dataclass(frozen=True)
class Options:
    """What the parameters of a SoftmaxClassifier mean, for one fit.

    Attributes
    ----------
    hidden : units of each hidden layer
    batch_size : None where it is up to us
    solver : one of SOLVERS; "auto" is resolved when the data are known (`choose_solver`)
    learning_rate_init : a number
    others : as SoftmaxClassifier has them; a class_weight's keys and values are checked when the classes are known
    """

    hidden: tuple[int, ...]
    activation: str
    loss: str
    solver: str
    alpha: float
    l1_ratio: float
    fit_intercept: bool
    class_weight: Any
    label_smoothing: float
    batch_size: int | None
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    verbose: bool
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    backward: str

    @property
    def is_stochastic(self) -> bool:
        """Whether it goes by epochs of batches."""
        return self.solver in STOCHASTIC


@contextmanager
def reading_parameters() -> Iterator[None]:
    """Errors are what scikit-learn's estimators raise for a parameter: both a ValueError and a TypeError."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise InvalidParameterError(str(error)) from None


def read_verbose(verbose: Any) -> bool:
    """Whether progress is to be shown."""
    if isinstance(verbose, (bool, np.bool_)):
        return bool(verbose)
    if read_integer("verbose", verbose) < 0:
        raise ValueError(f"verbose must be True, False or an integer of at least 0, got {verbose!r}")
    return bool(verbose)


def hidden_sizes(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """hidden_layer_sizes as a tuple."""
    sizes = hidden_layer_sizes if isinstance(hidden_layer_sizes, Iterable) else (hidden_layer_sizes,)
    return tuple(read_count("hidden_layer_sizes", n) for n in sizes)


@reading_parameters()
def read_options(given: Mapping[str, Any]) -> Options:
    """The parameters by name, read; an InvalidParameterError names the first that cannot be used."""
    hidden = hidden_sizes(given["hidden_layer_sizes"])
    choices = (("activation", ACTIVATIONS), ("loss", LOSSES), ("backward", BACKWARD))
    for name, values in (*choices, ("solver", SOLVERS), ("learning_rate", SCHEDULES)):
        check_choice(name, given[name], values)
    for name in ("fit_intercept", "shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        read_flag(name, given[name])
    read_count("max_iter", given["max_iter"])
    if not isinstance(given["n_iter_no_change"], float) or given["n_iter_no_change"] != np.inf:
        read_count("n_iter_no_change", given["n_iter_no_change"])
    weights = given["class_weight"]
    if not (weights is None or isinstance(weights, dict) or (isinstance(weights, str) and weights == "balanced")):
        raise ValueError(f'class_weight must be "balanced", a dict or None, got {weights!r}')
    if given["n_threads"] is not None:
        read_count("n_threads", given["n_threads"])
    if not isinstance(given["checkpoint"], (str, os.PathLike, type(None))):
        raise TypeError(f"checkpoint must be a path or None, got {given['checkpoint']!r}")
    read_count("checkpoint_every", given["checkpoint_every"])
    rate = given["learning_rate_init"]
    batch_size = None if given["batch_size"] == "auto" else read_count("batch_size", given["batch_size"])
    numbers = {name: read_number(name, given[name], least=0) for name in ("alpha", "tol", "power_t")}
    rate = (0.001 if hidden else 0.01) if rate == "auto" else read_number("learning_rate_init", rate, above=0)
    numbers["epsilon"] = read_number("epsilon", given["epsilon"], above=0)
    for name in ("beta_1", "beta_2"):
        numbers[name] = read_number(name, given[name], least=0, below=1)
    for name in ("l1_ratio", "momentum"):
        numbers[name] = read_number(name, given[name], least=0, most=1)
    solver = str(given["solver"])
    _check_solver(solver, given, hidden, numbers["l1_ratio"])
    numbers["validation_fraction"] = read_number("validation_fraction", given["validation_fraction"], above=0, below=1)
    numbers["label_smoothing"] = read_smoothing(given["label_smoothing"])
    known = {name: given[name] for name in Options.__dataclass_fields__ if name in given}
    resolved = {"hidden": hidden, "solver": solver, "batch_size": batch_size, "learning_rate_init": rate, **numbers}
    return Options(**{**known, **resolved, "verbose": read_verbose(given["verbose"])})


def _check_solver(solver: str, given: Mapping[str, Any], hidden: tuple[int, ...], l1_ratio: float) -> None:
    """A ValueError where the solver cannot do with the other parameters."""
    if l1_ratio > 0 and solver not in ("auto", *WITH_L1):
        raise ValueError(
            f"l1_ratio={l1_ratio} needs solver='coordinate-descent' or 'lbfgs' (or 'auto'), got {solver!r}"
        )
    fits = {
        "hidden_layer_sizes": (not hidden, "()"),
        "backward": (given["backward"] == "fused", '"fused"'),
        "loss": (given["loss"] == "cross_entropy", '"cross_entropy"'),
    }
    who = f"l1_ratio={l1_ratio}" if l1_ratio > 0 else f"solver={solver!r}"
    for name in CONVEX if l1_ratio > 0 else NEEDS.get(solver, ()):
        if not fits[name][0]:
            others = "" if l1_ratio > 0 else ": choose 'lbfgs', 'sgd' or 'adam'"
            raise ValueError(f"{who} needs {name}={fits[name][1]}{others}")
    if (solver == "coordinate-descent" or l1_ratio > 0) and not given["alpha"] > 0:
        raise ValueError(f"{who} needs alpha > 0, got {given['alpha']}")


def check_streams(options: Options, *, stochastic: bool = True) -> None:
    """A ValueError where the parameters need all rows in one array. stochastic: whether sgd and adam do not."""
    if (reason := needs_array(options, stochastic=stochastic)) is not None:
        raise ValueError(reason)


def needs_array(options: Options, *, stochastic: bool) -> str | None:
    """Why the parameters need all rows in one array, or None. stochastic: whether sgd and adam do not."""
    if options.solver == "coordinate-descent":
        return "solver='coordinate-descent' needs X by columns: choose 'lbfgs', or hand in an array"
    if options.is_stochastic and not stochastic:
        return (
            f"solver={options.solver!r} needs the rows in this process: choose 'lbfgs' or 'newton-cg', or hand "
            f"SoftmaxClassifier(solver={options.solver!r}) to dask_ml.wrappers.Incremental"
        )
    if options.backward != "fused":
        return f"backward={options.backward!r} needs an array: choose 'fused'"
    return None


def choose_solver(
    options: Options, n_samples: int, n_features: int, n_classes: int, *, in_memory: bool = True
) -> Options:
    """The options with the solver that "auto" stands for. in_memory: whether X is an array."""
    if options.solver != "auto":
        return options
    if options.l1_ratio > 0:
        return replace(options, solver="coordinate-descent" if in_memory else "lbfgs")
    by_row = n_classes * (n_classes - 1) // 2 * (n_features + 1) ** 2 // 2 + ROW_WORK
    has_hessian = not options.hidden and options.loss == "cross_entropy" and options.backward == "fused"
    return replace(options, solver="newton-cholesky" if has_hessian and n_samples * by_row <= SMALL else "lbfgs")


def network_of(options: Options, n_features: int, n_classes: int) -> Network:
    """The network that the parameters describe."""
    return Network(np.array([n_features, *options.hidden, n_classes], np.int64), options.activation)


def new_params(network: Network, dtype: Any, fit_intercept: bool, rng: np.random.RandomState) -> Array:
    """Zeros for a linear model; else uniform after Glorot & Bengio 2010, as MLPClassifier."""
    params = np.zeros(network.n_params, dtype)
    if len(network.sizes) > 2:
        layers = network.layers(params)
        for (n_in, n_out), (weight, bias) in zip(pairwise(network.sizes), layers, strict=True):
            bound = np.sqrt((2.0 if network.activation == "logistic" else 6.0) / (n_in + n_out))
            weight[:] = rng.uniform(-bound, bound, weight.shape)
            if fit_intercept:
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


def dense_coefs(coefs: Iterable[Any]) -> list[Array]:
    """coefs_ as arrays, whether they are sparse now (`sparsify`) or not."""
    return [coef.toarray() if is_sparse(coef) else coef for coef in coefs]


def kept_params(fitted: Mapping[str, Any], network: Network, dtype: Any, classes: Array) -> Array:
    """The weights among a fitted model's attributes, for a network whose classes may be others: new ones are zero."""
    params = np.zeros(network.n_params, dtype)
    layers = network.layers(params)
    coefs, intercepts = dense_coefs(fitted["coefs_"]), fitted["intercepts_"]
    shapes = [coef.shape[::-1] for coef in coefs[:-1]]
    if shapes != [weight.shape for weight, _ in layers[:-1]] or len(coefs[-1]) != layers[-1][0].shape[1]:
        sizes = [len(coef) for coef in coefs]
        raise ValueError(
            "warm_start needs the features and hidden_layer_sizes of the fit before, "
            f"{sizes}, got {network.sizes[:-1].tolist()}"
        )
    for k, (weight, bias) in enumerate(layers[:-1]):
        weight[:], bias[:] = coefs[k].T, intercepts[k]
    weight, bias = layers[-1]
    present = list(fitted["classes_"])
    coef, intercept = coefs[-1].T, intercepts[-1]
    if len(present) == 2:
        coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.append(np.zeros_like(intercept), intercept)
    for c, label in enumerate(classes):
        if label in present:
            weight[c], bias[c] = coef[present.index(label)], intercept[present.index(label)]
    pin_first_class((weight, bias))
    return params


def new_descent(options: Options, params: Array, rng: np.random.RandomState) -> DescentState:
    """The state of sgd or adam at the start."""
    return start_descent(
        params,
        solver=options.solver,
        learning_rate_init=options.learning_rate_init,
        decays=(options.beta_1, options.beta_2) if options.solver == "adam" else (options.momentum, 0.0),
        nesterovs_momentum=options.nesterovs_momentum,
        epsilon=options.epsilon,
        seed=int(rng.randint(2**31 - 1)) if options.shuffle else None,
    )


def kept_descent(descent: DescentState | None, solver: str) -> DescentState | None:
    """A state from which the solver can go on; None if it is not one of this solver."""
    if descent is None or bool(descent.rule[METHOD] == ADAM) != (solver == "adam"):
        return None
    return descent.writable()


def solver_of(
    options: Options,
    n_samples: int,
    descent: DescentState | None,
    seen: int,
    validate: Callable[[Array], tuple[float, float]] | None,
    max_iter: int,
) -> Solver:
    """The solver that the options name. descent, seen: where a stochastic one goes on from."""
    if descent is None:
        if options.solver == "lbfgs" and options.l1_ratio > 0:
            return ProximalLBFGS(options.tol, max_iter)
        return DETERMINISTIC[options.solver](options.tol, max_iter)
    if options.batch_size is not None and options.batch_size > n_samples:
        warn(f"batch_size={options.batch_size} is larger than the number of samples, {n_samples}")
    return Descent(
        descent,
        min(options.batch_size or AUTO_BATCH, n_samples),
        max_iter,
        options.tol,
        options.n_iter_no_change,
        learning_rate=options.learning_rate if options.solver == "sgd" else "constant",
        learning_rate_init=options.learning_rate_init,
        power_t=options.power_t,
        validate=validate,
        seen=seen,
    )
