"""The races of training: data sets, and who fits them: SoftmaxClassifier, scikit-learn, torch and JAX.

A fit by a solver minimises LogisticRegression's objective (alpha = 1/C), and is worth its time only if it comes within
GOAL of the best that LogisticRegression finds. Tolerances of different solvers mean different things, so that there are
cases with the default one, and cases with the loosest one by which each solver gets there.

A descent is SGD with momentum, 20 epochs of batches of 32 on digits, judged by samples that were held out. All start
alike (zeros without hidden layer, else Glorot) and take as many steps.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from linear_cases import NONZEROS, SPARSE
from sklearn.datasets import load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import fastsoftmax as fs
from fastsoftmax.classifier.options import DETERMINISTIC
from fastsoftmax.training.loop import train
from fastsoftmax.training.objective import Network, Objective

GOAL = 1e-3  # of the best objective: how far above it a fit may end
TOLERANCES = tuple(float(f"{digit}e-{power}") for power in range(1, 10) for digit in (3, 1))
MAX_ITER = {"sag": 1000, "saga": 1000}  # and of other solvers:
ENOUGH = 10_000
OURS = ("lbfgs", "newton-cg")

EPOCHS, BATCH, RATE, MOMENTUM = 20, 32, 0.05, 0.9
N_TRAIN = 42 * BATCH  # of 1797: no batch is smaller, which JAX's scan would need a special case for
SEEDS = range(12)
CLOSE = 0.005  # accuracies on average: their largest difference
ALIKE = 1.1  # losses at the end, on average: their largest ratio

Layers = list[tuple[np.ndarray, np.ndarray]]  # weight (n_in, n_out) and bias (n_out,) of each
Call = Callable[[], Any]


def layers_of(model: Any) -> Layers:
    """Of a fitted SoftmaxClassifier, LogisticRegression or MLPClassifier, three classes at least."""
    if hasattr(model, "coefs_"):
        return list(zip(model.coefs_, model.intercepts_, strict=True))
    return [(model.coef_.T, model.intercept_)]


def quietly(fit: Call) -> Any:
    """The fit, without scikit-learn's word that more iterations would do it good: how good it is, is checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit()


@cache
def data_of(data_set: str, dtype: str) -> tuple[Any, np.ndarray]:
    """X (N, D) in the dtype, dense or CSR, and y (N,) of 0 to C - 1."""
    X, y = _made(data_set) if "large" in data_set else _bundled(data_set)
    return X.astype(dtype), y


def _bundled(data_set: str) -> tuple[np.ndarray, np.ndarray]:
    name, _, scaling = data_set.partition(" ")
    X, y = {"digits": load_digits, "iris": load_iris, "wine": load_wine}[name](return_X_y=True)
    if scaling == "standardised":
        X = StandardScaler().fit_transform(X)
    return X / 16 if scaling == "by 16" else X, y


@cache
def _made(data_set: str) -> tuple[Any, np.ndarray]:
    _made.cache_clear(), data_of.cache_clear()  # hundreds of megabytes
    if data_set == "made large":
        return make_classification(60000, 784, n_informative=100, n_classes=10, random_state=0)
    return _newsgroups(np.random.default_rng(0), *SPARSE[0])


def _newsgroups(rng: np.random.Generator, n_samples: int, n_features: int, n_classes: int) -> tuple[Any, np.ndarray]:
    """Like 20 newsgroups: words by Zipf's law, TF-IDF, rows of length 1; labels drawn by a random linear teacher."""
    n_words = NONZEROS + 8  # some come twice
    frequency = 1 / np.arange(1, n_features + 1) ** 0.8
    names = rng.permutation(n_features).astype(np.int32)
    words = names[rng.choice(n_features, n_samples * n_words, p=frequency / frequency.sum())]
    texts = np.repeat(np.arange(n_samples, dtype=np.int32), n_words)
    counts = scipy.sparse.coo_matrix((np.ones(len(words)), (texts, words)), (n_samples, n_features)).tocsr()
    X = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    X.indices, X.indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int32, copy=False)
    logits = X @ rng.standard_normal((n_features, n_classes)) * 8
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


@dataclass(frozen=True)
class FitCase:
    """Softmax regression on a data set, by solvers that run until they are done."""

    data_set: str  # "digits", "digits by 16", "iris", "iris standardised", ..., "made large", "newsgroups large"
    dtype: str = "float64"
    loosest: bool = False  # the loosest tolerance of each with which it reaches GOAL, instead of its default
    alpha: float = 1.0

    @property
    def name(self) -> str:
        """What is timed."""
        return f"fit {self.data_set}" + (", loosest tol" if self.loosest else "")

    @property
    def data(self) -> tuple[Any, np.ndarray]:
        """X and y."""
        return data_of(self.data_set, self.dtype)

    @property
    def solvers(self) -> list[str]:
        """Of LogisticRegression's, those that come to an end here."""
        if self.data_set == "made large":
            return ["lbfgs", "newton-cg"]  # a Hessian of 7850 x 7850; sag takes minutes
        if self.data_set == "newsgroups large":
            return ["lbfgs", "newton-cg", "sag"]  # saga takes eight times as long as sag
        scaled = " " in self.data_set  # elsewhere sag and saga are far away after 1000 epochs
        return ["lbfgs", "newton-cg", "newton-cholesky"] + ["sag", "saga"] * scaled


def estimators(case: FitCase) -> dict[str, Callable[..., Any]]:
    """Of each provider a function that makes an estimator, given its tolerance if that is not the default."""
    ours = {
        f"fastsoftmax {solver}": partial(fs.SoftmaxClassifier, solver=solver, alpha=case.alpha, max_iter=ENOUGH)
        for solver in OURS
    }
    theirs = {
        f"sklearn {solver}": partial(
            LogisticRegression,
            solver=solver,
            C=1 / case.alpha,
            max_iter=MAX_ITER.get(solver, ENOUGH),
            random_state=0,
        )
        for solver in case.solvers
    }
    return {**ours, **theirs}


def solver_alone(case: FitCase, solver: str, tol: float) -> Call:
    """Ours without the classifier around it, from arrays known to be fit: the rest of `fit` is mostly validation."""
    X, y = case.data
    network, method = Network(np.array([X.shape[1], y.max() + 1])), DETERMINISTIC[solver](tol, ENOUGH)

    def call() -> Layers:
        params = np.zeros(network.n_params, X.dtype)
        problem = Objective(X, y, network, np.empty(0), alpha=case.alpha)
        train(problem, params, method)
        return [(weight.T, bias) for weight, bias in network.layers(params)]

    return call


@dataclass(frozen=True)
class SgdCase:
    """Mini-batch SGD with momentum on digits, standardised."""

    hidden: tuple[int, ...] = ()
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """What is timed."""
        return "sgd digits " + (f"hidden {'-'.join(map(str, self.hidden))}" if self.hidden else "linear")

    def split(self, seed: int) -> list[np.ndarray]:
        """X to train on and X held out, y to train on and y held out."""
        X, y = data_of("digits", "float64")
        X, X_held, y, y_held = train_test_split(X, y, train_size=N_TRAIN, stratify=y, random_state=seed)
        scaler = StandardScaler().fit(X)
        return [scaler.transform(X).astype(self.dtype), scaler.transform(X_held).astype(self.dtype), y, y_held]


def sgd_fastsoftmax(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call:
    classifier = fs.SoftmaxClassifier(case.hidden, alpha=0.0, **_mlp_options(seed))
    return lambda: layers_of(classifier.fit(X, y))


def sgd_sklearn(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call | None:
    if not case.hidden:
        return None
    classifier = MLPClassifier(case.hidden, alpha=0.0, **_mlp_options(seed))
    return lambda: layers_of(classifier.fit(X, y))


def _mlp_options(seed: int) -> dict[str, Any]:
    """What SoftmaxClassifier and MLPClassifier call by one name; neither ends early."""
    steps = {"learning_rate_init": RATE, "momentum": MOMENTUM, "nesterovs_momentum": False, "batch_size": BATCH}
    return {"solver": "sgd", **steps, "max_iter": EPOCHS, "n_iter_no_change": EPOCHS + 1, "random_state": seed}


def sgd_torch(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call:
    """A plain loop; permuted once an epoch and then split, and with SGD fused: measured, the fastest of its kind."""
    import torch

    torch.set_num_threads(threads)
    samples, labels = torch.from_numpy(X), torch.from_numpy(y)
    sizes = [X.shape[1], *case.hidden, int(y.max()) + 1]

    def call() -> Layers:
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes)]
        for layer in layers:
            (torch.nn.init.xavier_uniform_ if case.hidden else torch.nn.init.zeros_)(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        modules = [module for layer in layers for module in (layer, torch.nn.ReLU())][:-1]
        network = torch.nn.Sequential(*modules) if case.hidden else layers[0]
        optimiser = torch.optim.SGD(network.parameters(), lr=RATE, momentum=MOMENTUM, fused=True)
        for _ in range(EPOCHS):
            order = torch.randperm(len(samples))
            for batch, targets in zip(samples[order].split(BATCH), labels[order].split(BATCH), strict=True):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(network(batch), targets).backward()
                optimiser.step()
        return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers]

    return call


def sgd_jax(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call:
    import jax

    n_classes = int(y.max()) + 1
    train = _jax_train(case.hidden, n_classes)
    samples, targets = jax.device_put((X, np.eye(n_classes, dtype=X.dtype)[y]))

    def call() -> Layers:
        return [(np.asarray(weight), np.asarray(bias)) for weight, bias in train(seed, samples, targets)]

    return call


@cache
def _jax_train(hidden: tuple[int, ...], n_classes: int) -> Callable[..., Any]:
    """From the first weights to the last in one jitted function: a scan over epochs of a scan over batches.

    Measured, it is 10% faster than a call for each epoch, whose parameters are donated; one-hot targets, rows gathered
    inside the scan and two steps unrolled are 1 to 5% faster than the other ways. Gradients by hand gain nothing.
    """
    import jax

    numpy = jax.numpy

    def loss_of(layers: Any, batch: Any, targets: Any) -> Any:
        for weight, bias in layers[:-1]:
            batch = jax.nn.relu(batch @ weight + bias)
        weight, bias = layers[-1]
        return -(jax.nn.log_softmax(batch @ weight + bias) * targets).sum() / BATCH

    def start(key: Any, sizes: list[int]) -> Any:
        layers = []
        for sub, (n_in, n_out) in zip(jax.random.split(key, len(sizes) - 1), pairwise(sizes), strict=True):
            bound = (6 / (n_in + n_out)) ** 0.5 if hidden else 0.0
            weight = jax.random.uniform(sub, (n_in, n_out), numpy.float32, -bound, bound)
            layers.append((weight, numpy.zeros(n_out, numpy.float32)))
        return layers, jax.tree.map(numpy.zeros_like, layers)

    @jax.jit
    def train(seed: Any, samples: Any, targets: Any) -> Any:
        def step(state: Any, rows: Any) -> tuple[Any, None]:
            layers, velocity = state
            grads = jax.grad(loss_of)(layers, samples[rows], targets[rows])
            velocity = jax.tree.map(lambda v, g: MOMENTUM * v - RATE * g, velocity, grads)
            return (jax.tree.map(numpy.add, layers, velocity), velocity), None

        def epoch(state: Any, key: Any) -> tuple[Any, None]:
            order = jax.random.permutation(key, numpy.arange(len(samples), dtype=numpy.int32))
            return jax.lax.scan(step, state, order.reshape(-1, BATCH), unroll=2)

        first, *keys = jax.random.split(jax.random.key(seed), EPOCHS + 1)
        state = start(first, [samples.shape[1], *hidden, n_classes])
        return jax.lax.scan(epoch, state, numpy.stack(keys))[0][0]

    return train


SGD_PROVIDERS: dict[str, Callable[[SgdCase, np.ndarray, np.ndarray, int, int], Call | None]] = {
    "sklearn": sgd_sklearn,
    "torch": sgd_torch,
    "jax": sgd_jax,
    "fastsoftmax": sgd_fastsoftmax,
}


def installed() -> dict[str, Callable[[SgdCase, np.ndarray, np.ndarray, int, int], Call | None]]:
    """The providers of descents that can run here: torch and JAX are optional."""
    return {name: fit for name, fit in SGD_PROVIDERS.items() if name not in ("torch", "jax") or find_spec(name)}
