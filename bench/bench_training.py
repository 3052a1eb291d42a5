"""Training on digits by each way back: the main comparison as a benchmark (20 epochs of batches of 32)."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastsoftmax import SoftmaxClassifier
from fastsoftmax.cli.datasets import load
from fastsoftmax.cli.races.rows import DTYPES
from fastsoftmax.training.backward import BACKWARD


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(), (64,)], ids=["linear", "hidden-64"])
def bench_training(benchmark, threads, hidden, dtype, backward):
    data = load("digits")
    X = ((data.X - data.X.mean(axis=0)) / (data.X.std(axis=0) + 1e-3)).astype(dtype)
    classifier = SoftmaxClassifier(
        hidden, solver="sgd", backward=backward, batch_size=32, max_iter=20, learning_rate_init=0.05, random_state=0
    )

    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 20 epochs were asked for
            return classifier.fit(X, data.y)

    accuracy = fit().score(X, data.y)  # compiles, too
    assert accuracy > 0.97
    benchmark.group = f"training digits hidden={hidden} {dtype}"
    benchmark.extra_info.update(
        operation="training",
        provider=backward,
        shape=[*X.shape, data.n_classes],
        dtype=dtype,
        threads=threads,
        accuracy=accuracy,
        loss=float(np.round(classifier.loss_, 6)),
        bytes=X.nbytes,
    )
    benchmark.pedantic(fit, rounds=3)
