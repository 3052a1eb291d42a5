"""Training on digits by each way back: the main comparison as a benchmark (20 epochs of batches of 32)."""

import numpy as np
import pytest
from cases import DTYPES

from fastsoftmax.datasets import load
from fastsoftmax.training import BACKWARD, train


@pytest.mark.parametrize("backward", BACKWARD)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", [(), (64,)], ids=["linear", "hidden-64"])
def bench_training(benchmark, threads, hidden, dtype, backward):
    data = load("digits")
    X = ((data.X - data.X.mean(axis=0)) / (data.X.std(axis=0) + 1e-3)).astype(dtype)
    options = {"hidden_layer_sizes": hidden, "backward": backward, "batch_size": 32, "random_state": 0}
    network = train(X, data.y, **options)  # compiles, too
    accuracy = float((network.predict(X) == data.y).mean())
    assert accuracy > 0.97
    benchmark.group = f"training digits hidden={hidden} {dtype}"
    benchmark.extra_info.update(
        operation="training",
        provider=backward,
        shape=[*X.shape, data.n_classes],
        dtype=dtype,
        threads=threads,
        accuracy=accuracy,
        loss=float(np.round(network.loss_curve[-1], 6)),
        bytes=X.nbytes,
    )
    benchmark.pedantic(train, (X, data.y), options, rounds=3)
