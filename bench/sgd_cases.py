"""The races of descents: SGD with momentum by batches, judged by samples that were held out.

All start alike (zeros without hidden layer, else Glorot) and take as many steps. No batch is smaller than the others,
which JAX's scan would need a special case for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import sgd_jax
from data_sets import data_of
from judge import Call, Layers, layers_of
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import fastsoftmax as fs

RATE, MOMENTUM = 0.05, 0.9
ALIKE = 1.1  # losses at the end, on average: their largest ratio


@dataclass(frozen=True)
class SgdCase:
    """Mini-batch SGD with momentum on a data set (data_sets.py), standardised."""

    hidden: tuple[int, ...] = ()
    data_set: str = "digits"
    batch: int = 32
    n_batches: int = 42  # an epoch: 1344 of 1797 samples
    epochs: int = 20
    n_seeds: int = 12  # splits into samples to train on and held out, and starts, to take averages over
    close: float = 0.005  # accuracies on average: their largest difference
    dtype: str = "float32"

    @property
    def name(self) -> str:
        """What is timed."""
        return f"sgd {self.data_set} " + (f"hidden {'-'.join(map(str, self.hidden))}" if self.hidden else "linear")

    def split(self, seed: int) -> list[np.ndarray]:
        """X to train on and X held out, y to train on and y held out."""
        X, y = data_of(self.data_set, "float64" if self.data_set == "digits" else self.dtype)
        size = self.batch * self.n_batches
        X, X_held, y, y_held = train_test_split(X, y, train_size=size, stratify=y, random_state=seed)
        scaler = StandardScaler().fit(X)
        return [scaler.transform(X).astype(self.dtype), scaler.transform(X_held).astype(self.dtype), y, y_held]


DIGITS = [SgdCase(), SgdCase((64,))]
# 53 248 of 60 000 samples. Averages of three runs differ by chance; those of 24 are within 0.0015
LARGE = SgdCase((256, 128), "made large", batch=256, n_batches=208, epochs=3, n_seeds=3, close=0.02)

Provider = Callable[[SgdCase, np.ndarray, np.ndarray, int, int], Call | None]


def fastsoftmax(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call:
    classifier = fs.SoftmaxClassifier(case.hidden, alpha=0.0, **_mlp_options(case, seed))
    return lambda: layers_of(classifier.fit(X, y))


def sklearn(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call | None:
    if not case.hidden:
        return None
    classifier = MLPClassifier(case.hidden, alpha=0.0, **_mlp_options(case, seed))
    return lambda: layers_of(classifier.fit(X, y))


def _mlp_options(case: SgdCase, seed: int) -> dict[str, Any]:
    """What SoftmaxClassifier and MLPClassifier call by one name; neither ends early."""
    steps = {"learning_rate_init": RATE, "momentum": MOMENTUM, "nesterovs_momentum": False, "batch_size": case.batch}
    return {
        "solver": "sgd",
        **steps,
        "max_iter": case.epochs,
        "n_iter_no_change": case.epochs + 1,
        "random_state": seed,
    }


def torch(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int) -> Call:
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
        for _ in range(case.epochs):
            order = torch.randperm(len(samples))
            for batch, targets in zip(samples[order].split(case.batch), labels[order].split(case.batch), strict=True):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(network(batch), targets).backward()
                optimiser.step()
        return [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers]

    return call


def jax(case: SgdCase, X: np.ndarray, y: np.ndarray, seed: int, threads: int, python: str | None = None) -> Call:
    """All epochs in one scan; python: another one, that has another JAX."""
    steps = {"batch": case.batch, "epochs": case.epochs, "rate": RATE, "momentum": MOMENTUM}
    return sgd_jax.provider(python)(X, y, seed, hidden=case.hidden, **steps)


def providers(jax_old: str | None) -> dict[str, Provider]:
    """The providers of descents that can run here: torch and JAX are optional."""
    known: dict[str, Provider] = {"sklearn": sklearn, "torch": torch, "jax": jax, "fastsoftmax": fastsoftmax}
    found = {name: fit for name, fit in known.items() if name not in ("torch", "jax") or find_spec(name)}
    return found | ({"jax old": partial(jax, python=jax_old)} if jax_old else {})
