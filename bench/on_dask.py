"""A pass over the rows on two workers of Dask's beside one on two threads of our own; and fits beside dask-ml's.

    python bench/on_dask.py [--samples N] [--features D] [--peers | --bits]

Each worker is a process of one thread; the data are read from a file by the workers. A pass is one loss with its
gradient: medians over the passes of an lbfgs fit, the same ones in both. --peers (pip install dask-ml): two classes,
until the objective is that of our fit (dask-ml; SGDClassifier in its Incremental, epoch by epoch), or for 20 seconds.
--bits: hashes of the coefficients, with L2 and with L1, from wherever the rows come and wherever they lie.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import fastsoftmax as fs
from fastsoftmax.dask import DaskSoftmaxClassifier
from fastsoftmax.training.objective import Objective

CLASSES, CHUNK = 10, 100_000
BITS_OF = (
    {"solver": "lbfgs", "max_iter": 20, "tol": 1e-6},
    {"solver": "lbfgs", "max_iter": 20, "tol": 1e-6, "l1_ratio": 1.0},
)
KILL_AFTER = 0.7  # seconds
ROUNDS = 4
PEER_SECONDS = 20  # after which a peer is not waited for


def make(folder: Path, n_samples: int, n_features: int, n_classes: int, dtype: Any) -> None:
    """X.npy and y.npy."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n_samples, n_features), np.float32)
    scores = X[:, :n_classes] + random.gumbel(size=(n_samples, n_classes))
    np.save(folder / "X.npy", X.astype(dtype)), np.save(folder / "y.npy", scores.argmax(axis=1))


def collection(path: Path) -> da.Array:
    """A dask array, whose chunks are read by the workers."""
    array = np.load(path, mmap_mode="r")
    ends = (*range(0, len(array), CHUNK), len(array))
    chunks = (tuple(np.diff(ends).tolist()), *((n,) for n in array.shape[1:]))

    def read(block_info: Any = None) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        return np.array(np.load(path, mmap_mode="r")[first:last])

    return da.map_blocks(read, chunks=chunks, dtype=array.dtype, meta=np.empty((0,) * array.ndim, array.dtype))


def passes_of(model: Any, X: Any, y: Any) -> tuple[list[float], float]:
    """Seconds of each pass, and of the whole fit."""
    plain, seconds = Objective.value_and_grad, list[float]()

    def timed(self: Objective, *arguments: Any) -> Any:
        start = time.perf_counter()
        try:
            return plain(self, *arguments)
        finally:
            seconds.append(time.perf_counter() - start)

    Objective.value_and_grad = timed  # type: ignore[method-assign]
    start = time.perf_counter()
    try:
        model.fit(X, y)
    finally:
        Objective.value_and_grad = plain  # type: ignore[method-assign]
    return seconds, time.perf_counter() - start


def bits(model: Any) -> str:
    """A hash of the coefficients."""
    return hashlib.sha256(model.coef_.tobytes() + model.intercept_.tobytes()).hexdigest()[:16]


def race(client: Client, folder: Path, n_samples: int, n_features: int) -> None:
    """Ours on two threads, and on two workers."""
    make(folder, n_samples, n_features, CLASSES, np.float32)
    options = {"solver": "lbfgs", "max_iter": 15, "tol": 0.0, "alpha": 1.0}
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    medians = {}
    for round_ in range(ROUNDS):
        for name, model, data in (
            ("2 threads", fs.SoftmaxClassifier(**options, n_threads=2), (X, y)),
            (
                "2 workers",
                DaskSoftmaxClassifier(client, **options),
                tuple(map(collection, (folder / "X.npy", folder / "y.npy"))),
            ),
        ):
            seconds, whole = passes_of(model, *data)
            medians.setdefault(name, []).append(median(seconds))
            print(
                f"round {round_}, {name}: {median(seconds) * 1e3:.0f} ms a pass of {len(seconds)}, "
                f"fit {whole:.1f} s, coefficients {bits(model)}"
            )
    print(f"2 workers / 2 threads, medians: {median(medians['2 workers']) / median(medians['2 threads']):.2f}")


def show_bits(client: Client, folder: Path, n_samples: int, n_features: int) -> None:
    """Hashes of the coefficients with L2 and with L1, wherever the rows lie."""
    make(folder, n_samples, n_features, CLASSES, np.float32)
    X, y = folder / "X.npy", folder / "y.npy"

    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for first in range(0, n_samples, 12_345):
            yield tuple(np.load(path, mmap_mode="r")[first : first + 12_345] for path in (X, y))  # type: ignore[misc]

    def show(
        where: str, data: tuple[Any, ...], n_threads: int | None = None, model: Any = fs.SoftmaxClassifier
    ) -> None:
        start = time.perf_counter()
        found = [bits(model(**options, n_threads=n_threads).fit(*data)) for options in BITS_OF]
        print(f"{where:<20}", *found, f"{time.perf_counter() - start:.1f} s")

    show("in memory, 2 threads", (np.load(X), np.load(y)), 2)
    show("in memory, 1 thread", (np.load(X), np.load(y)), 1)
    show("memmap", (np.load(X, mmap_mode="r"), np.load(y)))
    show("files", (fs.data.from_files(X, y),))
    show("blocks", (fs.data.from_blocks(blocks),))
    on_workers = partial(DaskSoftmaxClassifier, client)
    for n_workers in (1, 2, 4):
        client.cluster.scale(n_workers)
        client.wait_for_workers(n_workers)
        show(f"Dask, {n_workers} workers", (collection(X), collection(y)), model=on_workers)
    pids = client.run(os.getpid)
    killing = threading.Timer(KILL_AFTER, os.kill, [pids[min(pids)], signal.SIGKILL])
    killing.start()
    show("Dask, one killed", (collection(X), collection(y)), model=on_workers)
    killing.join()


def race_peers(client: Client, folder: Path, n_samples: int, n_features: int) -> None:
    """Two classes: ours, dask-ml's lbfgs, and SGDClassifier block by block."""
    from dask_ml.linear_model import LogisticRegression
    from dask_ml.wrappers import Incremental
    from sklearn.linear_model import SGDClassifier

    make(folder, n_samples, n_features, 2, np.float64)
    X, y = (collection(folder / name).persist() for name in ("X.npy", "y.npy"))
    local = np.load(folder / "X.npy"), np.load(folder / "y.npy")

    def objective(coef: np.ndarray, intercept: float) -> float:
        z = (local[0] @ coef.ravel() + intercept) * np.where(local[1] == 1, -1, 1)
        return float(np.logaddexp(0, z).mean() + 0.5 * (coef**2).sum() / n_samples)

    def report(name: str, seconds: float, model: Any) -> float:
        value = objective(np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]))
        print(f"{name}: {seconds:.2f} s, objective {value:.6f}")
        return value

    for _ in range(2):
        ours = DaskSoftmaxClassifier(client, alpha=1.0)
        start = time.perf_counter()
        ours.fit(X, y)
        seconds = time.perf_counter() - start
    goal = report("ours", seconds, ours)
    start = time.perf_counter()
    theirs = LogisticRegression(solver="lbfgs", C=1.0, max_iter=100).fit(X, y)
    report("dask-ml lbfgs", time.perf_counter() - start, theirs)
    epochs, seconds, start = 0, 0.0, time.perf_counter()
    sgd = Incremental(SGDClassifier(loss="log_loss", alpha=1 / n_samples, random_state=0))
    while time.perf_counter() - start < PEER_SECONDS:
        sgd.partial_fit(X, y, classes=[0, 1])
        epochs, seconds = epochs + 1, time.perf_counter() - start
        with contextlib.redirect_stdout(None):
            value = report("", seconds, sgd.estimator_)
        if value <= goal * 1.001:
            break
    report(f"SGDClassifier, {epochs} epochs", seconds, sgd.estimator_)


def main() -> None:
    """Start a cluster, and race."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=100)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--peers", action="store_const", dest="run", const=race_peers, default=race)
    what.add_argument("--bits", action="store_const", dest="run", const=show_bits)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with (
        tempfile.TemporaryDirectory() as name,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        options.run(client, Path(name), options.samples, options.features)


if __name__ == "__main__":
    main()
