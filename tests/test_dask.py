"""DaskSoftmaxClassifier on a small cluster: the coefficients are those of arrays, bit for bit, whatever happens."""

import os
import pickle
import signal
import threading
import time
import warnings

import numpy as np
import pytest
from helpers import JIT, layouts, quiet, rng, same_bits
from scipy.sparse import csr_array
from sklearn.base import clone

import fastsoftmax as fs

pytest.importorskip("distributed", reason="Dask is not installed: pip install fastsoftmax[dask]")
if not JIT:
    pytest.skip("takes minutes as Python", allow_module_level=True)

import dask
import dask.array as da
import dask.dataframe as dd
import pandas as pd
from distributed import Client, LocalCluster

from fastsoftmax.classifier.streams import Encoding
from fastsoftmax.dask import DaskSoftmaxClassifier, cluster
from fastsoftmax.training import parts

D, C, PART = 120, 4, 480
N = 21 * PART + 123
OPTIONS = {"solver": "lbfgs", "max_iter": 4, "tol": 0.0}


@pytest.fixture(scope="module", autouse=True)
def _small_parts():
    with pytest.MonkeyPatch.context() as patch:  # of the client alone, which says where parts begin
        patch.setattr(parts, "ELEMENTS", PART * D)
        yield


@pytest.fixture(scope="module")
def data():
    X = rng(0).standard_normal((N, D), dtype=np.float32) * np.arange(1, D + 1, dtype=np.float32)
    y = (X[:, :C] / np.arange(1, C + 1) + rng(1).gumbel(size=(N, C))).argmax(axis=1)
    return X, y


@pytest.fixture(scope="module")
def workers():
    """A cluster of one worker at first, each a process of one thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what distributed has to say of the machine
        with (
            LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local,
            Client(local) as client,
        ):
            yield client


@pytest.fixture(autouse=True)
def _warnings_of_distributed(recwarn):
    warnings.filterwarnings("ignore", module="distributed")


def in_chunks(X, y, rows, weight=None):
    found = [da.from_array(X, chunks=(rows, 50)), da.from_array(y, chunks=(rows, *y.shape[1:]))]
    return found if weight is None else [*found, da.from_array(weight, chunks=5000)]


def test_any_number_of_workers_and_any_chunks(workers, data):
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), *data)
    chunks = iter([PART, N, 3 * PART // 2])
    for n_workers in (1, 2, 4):
        workers.cluster.scale(n_workers)
        workers.wait_for_workers(n_workers)
        model = quiet(DaskSoftmaxClassifier(workers, **OPTIONS), *in_chunks(*data, next(chunks)))
        assert same_bits(model.coef_, alone.coef_)
        assert same_bits(model.intercept_, alone.intercept_)
        assert model.loss_curve_ == alone.loss_curve_
    workers.cluster.scale(2)


def kill_a_worker(client):
    pids = client.run(os.getpid)
    os.kill(pids[min(pids)], signal.SIGKILL)


def test_a_worker_that_is_killed(workers, data):
    """At the most the pass that was under way is done again."""
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), *data)
    submit, passes = cluster.ClusterParts._submit, []

    def and_kill(*arguments):
        futures = submit(*arguments)
        passes.append(len(futures))
        if counts and len(passes) == 7:
            kill_a_worker(workers)
        return futures

    counts = list[int]()
    for _ in range(2):
        passes.clear()
        model = DaskSoftmaxClassifier(workers, **OPTIONS)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster.ClusterParts, "_submit", and_kill)
            quiet(model, *in_chunks(*data, 700))
        counts.append(len(passes))
        assert same_bits(model.coef_, alone.coef_)
        assert model.loss_curve_ == alone.loss_curve_
    undisturbed, disturbed = counts
    assert 7 < undisturbed <= disturbed <= undisturbed + 1


def test_a_worker_that_comes_in_the_middle(workers, data):
    X, y = data[0][:4000], data[1][:4000]
    fold, passes, before = cluster.ClusterParts.fold, [], len(workers.nthreads())

    def and_grow(*arguments, **options):
        passes.append(arguments)
        if len(passes) == 4:
            workers.cluster.scale(before + 1)
            workers.wait_for_workers(before + 1)
        return fold(*arguments, **options)

    model = DaskSoftmaxClassifier(workers, **OPTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster.ClusterParts, "fold", and_grow)
        quiet(model, *in_chunks(X, y, 700))
    workers.cluster.scale(before)
    assert len(passes) > 6
    assert same_bits(model.coef_, quiet(fs.SoftmaxClassifier(**OPTIONS), X, y).coef_)


def test_workers_without_a_limit_of_memory(data):
    """Each thread has a task of its own."""
    X, y = data[0][:4000], data[1][:4000]
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None, memory_limit=0
        ) as local,
        Client(local) as client,
    ):
        n_bundles, submit = [], cluster.ClusterParts._submit

        def and_count(self, *arguments):
            n_bundles.append(len(self._bundles))
            return submit(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cluster.ClusterParts, "_submit", and_count)
            model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), *in_chunks(X, y, 700))
    assert set(n_bundles) == {4}
    assert same_bits(model.coef_, quiet(fs.SoftmaxClassifier(**OPTIONS), X, y).coef_)


def test_a_worker_whose_memory_does_not_hold_its_rows(data):
    """They lie on its disk, and its tasks take so many of them at a time as fit."""
    X, y = data
    limit = 2**31  # of the worker; the target below is a third of what X takes
    names = {"target": X.nbytes / limit / 3, "spill": False, "pause": False}
    with (
        dask.config.set({f"distributed.worker.memory.{name}": value for name, value in names.items()}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, memory_limit=limit
        ) as small,
        Client(small) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(cluster, "MEMORY_SHARE", X.nbytes / limit / 4)
        spilled, bundles, submit = [], [], cluster.ClusterParts._submit

        def and_look(self, *arguments):
            bundles.append(len(self._bundles))
            spilled.append(client.run(lambda dask_worker: len(dask_worker.data.slow))[next(iter(client.nthreads()))])
            return submit(self, *arguments)

        patch.setattr(cluster.ClusterParts, "_submit", and_look)
        model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), *in_chunks(X, y, 700))
    assert min(bundles) > 3
    assert max(spilled) > 3
    assert same_bits(model.coef_, quiet(fs.SoftmaxClassifier(**OPTIONS), X, y).coef_)


def test_passes_that_lose_what_was_sent_are_done_again(workers, data):
    """Parameters are scattered: a worker that alone has them may die."""
    X, y = data[0][:2000], data[1][:2000]
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), X, y)
    submit, lost = cluster.ClusterParts._submit, []

    def cancelled(self, *arguments):
        futures = submit(self, *arguments)
        if len(lost) < 2:
            lost.append(futures)
            workers.cancel(futures, force=True)
        return futures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster.ClusterParts, "_submit", cancelled)
        patch.setattr(cluster, "SCATTERED", 16)
        patch.setattr(cluster, "MERGED", 2)
        model = quiet(DaskSoftmaxClassifier(workers, **OPTIONS), *in_chunks(X, y, 700))
    assert len(lost) == 2
    assert same_bits(model.coef_, alone.coef_)


TARGETS = {
    "weights, balanced": lambda y: (np.array(list("dabc"))[y], rng(2).random(len(y)), {"class_weight": "balanced"}),
    "soft": lambda y: (rng(3).dirichlet(np.ones(C), len(y)), None, {"label_smoothing": 0.1}),
    "newton-cg": lambda y: (y, rng(2).random(len(y)), {"solver": "newton-cg", "max_iter": 2}),
    "a network": lambda y: (y, None, {"hidden_layer_sizes": (5,), "random_state": 0}),
    "L1": lambda y: (y, rng(2).random(len(y)), {"l1_ratio": 1.0, "alpha": 20.0}),
    "newton-cholesky, two classes": lambda y: (y > 1, None, {"solver": "newton-cholesky", "max_iter": 2}),
}


@pytest.mark.parametrize("targets", TARGETS)
def test_targets_weights_and_solvers(workers, data, targets):
    y, weight, options = TARGETS[targets](data[1])
    X = np.ascontiguousarray(data[0][:, :30])[: N // 2]
    y, weight = y[: N // 2], None if weight is None else weight[: N // 2]
    alone = quiet(fs.SoftmaxClassifier(**{**OPTIONS, **options}), X, y, weight)
    model = quiet(DaskSoftmaxClassifier(workers, **{**OPTIONS, **options}), *in_chunks(X, y, 6000, weight))
    assert all(map(same_bits, model.coefs_, alone.coefs_))
    assert same_bits(model.classes_, alone.classes_)


def test_sparse_blocks_empty_chunks_and_chunks_that_lack_classes(workers, data):
    X, y = np.where(data[0] > 0, data[0], 0)[:4000].astype(np.float64), np.sort(data[1][:4000])
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), csr_array(X), y)
    cuts = (1000, 0, 2500, 1, 499)
    rows = da.from_array(X, chunks=(cuts, D))
    model = DaskSoftmaxClassifier(workers, **OPTIONS)
    quiet(model, rows.map_blocks(csr_array), da.from_array(y, chunks=(cuts,)))
    assert same_bits(model.coef_, alone.coef_)
    quiet(model, rows, da.from_array(y, chunks=(cuts,)))
    assert same_bits(model.coef_, quiet(fs.SoftmaxClassifier(**OPTIONS), X, y).coef_)


def test_dataframes(workers, data):
    X, y = data[0][:3000, :5], np.array(["d", "a", "c", "b"])[data[1][:3000]]
    frame = pd.DataFrame(X, columns=list("pqrst")).assign(y=y, weight=rng(4).random(3000))
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), frame[list("pqrst")], frame["y"], frame["weight"])
    parted = dd.from_pandas(frame, npartitions=4)
    model = quiet(DaskSoftmaxClassifier(workers, **OPTIONS), parted[list("pqrst")], parted["y"], parted["weight"])
    assert same_bits(model.coef_, alone.coef_)
    assert model.feature_names_in_.tolist() == list("pqrst")
    assert model.classes_.tolist() == list("abcd")
    some = parted[list("pqrst")]
    predicted, probs = model.predict(some), model.predict_proba(some)
    assert isinstance(predicted, dd.Series)
    assert predicted.compute().tolist() == alone.predict(frame[list("pqrst")]).tolist()
    assert probs.columns.tolist() == list("abcd")
    np.testing.assert_array_equal(probs.compute(), alone.predict_proba(frame[list("pqrst")]))


def test_answers_are_lazy_and_those_of_the_local_model(workers, data):
    X, y = data[0][:5000], data[1][:5000]
    model = quiet(DaskSoftmaxClassifier(workers, **OPTIONS), *in_chunks(X, y, 2000), classes=[0, 1, 2, 3, 7])
    assert model.classes_.tolist() == [0, 1, 2, 3, 7]
    local = model.to_local()
    assert type(local) is fs.SoftmaxClassifier
    rows = da.from_array(X, chunks=((4000, 0, 1000), 60))
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        answer = getattr(model, method)(rows)
        assert isinstance(answer, da.Array)
        assert answer.chunks[0] == (4000, 0, 1000)
        assert same_bits(answer.compute(scheduler="sync"), getattr(local, method)(X))
        assert same_bits(getattr(model, method)(X), getattr(local, method)(X))
    assert model.score(rows, da.from_array(y, chunks=1000)) == pytest.approx(local.score(X, y), rel=1e-12)
    twin = clone(model)
    assert twin.client is workers
    assert twin.get_params() == model.get_params() == fs.SoftmaxClassifier(**OPTIONS).get_params()


def test_what_cannot_be_used(workers, data):
    X, y = data[0][:100], data[1][:100]
    rows, labels = in_chunks(X, y, 30)
    for arguments, error, message in (
        ((X, labels), TypeError, "X must be a dask array or dataframe, got ndarray"),
        ((rows, y), TypeError, "y must be a dask array"),
        ((rows, labels[:90]), ValueError, "y must have as many rows as X, 100, got 90"),
        ((rows, labels * 0), ValueError, "one class"),
        ((rows * np.nan, labels), ValueError, "X contains NaN"),
        ((rows[:0], labels[:0]), ValueError, "0 sample"),
    ):
        with pytest.raises(error, match=message):
            DaskSoftmaxClassifier(workers).fit(*arguments)
    with pytest.raises(ValueError, match="not in classes"):
        DaskSoftmaxClassifier(workers).fit(rows, labels, classes=[0, 1])
    frame = dd.from_pandas(pd.DataFrame(X), npartitions=4)
    with pytest.raises(ValueError, match="y must have as many chunks as X, 4, got 2"):
        DaskSoftmaxClassifier(workers).fit(frame, dd.from_pandas(pd.Series(y), npartitions=2))
    delayed = frame.to_delayed()
    other = dd.from_delayed([*delayed[1:], delayed[0]], meta=frame._meta)[0].map_partitions(lambda some: some[:-1])
    with pytest.raises(ValueError, match="y must have as many rows as X in each chunk: 24, 25"):
        DaskSoftmaxClassifier(workers).fit(frame, other)
    with pytest.raises(ValueError, match=r"solver='adam' needs .* SoftmaxClassifier\(solver='adam'\) to dask_ml.*Incr"):
        DaskSoftmaxClassifier(workers, solver="adam").fit(rows, labels)
    for options in ({"solver": "sgd"}, {"solver": "coordinate-descent"}, {"backward": "vjp"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            DaskSoftmaxClassifier(workers, **options).fit(rows, labels)


def test_the_client_that_was_made_last_and_copies(workers, data):
    """A copy by pickle has no client of its own; a model answers arrays, too."""
    X, y = data[0][:2000], data[1][:2000]
    rows, labels = in_chunks(X, y, 700)
    model = DaskSoftmaxClassifier(workers, **OPTIONS)
    quiet(model, rows, labels)
    with workers.as_current():
        assert DaskSoftmaxClassifier().client is workers
        copy = pickle.loads(pickle.dumps(model))
        assert copy.client is workers
    assert copy.score(X, y) == model.score(X, y) == pytest.approx(model.score(rows, labels))
    weight = np.arange(2000.0)
    by_weight = model.score(rows, labels, da.from_array(weight, chunks=700))
    assert by_weight == pytest.approx(model.score(X, y, weight))


def test_without_any_client(monkeypatch):
    def none():
        raise ValueError("No clients found")

    monkeypatch.setattr("fastsoftmax.dask.estimator.default_client", none)
    with pytest.raises(ValueError, match="client must be given"):
        DaskSoftmaxClassifier().fit(da.ones((4, 2)), da.zeros(4))


def test_rows_may_lie_anywhere(data):
    """As arrays do that have come over a network: misaligned, or read-only."""
    X, y = data[0][:1000], data[1][:1000]
    encoding = Encoding(np.arange(C), np.empty(0), "cross_entropy", np.dtype(np.float32))
    for _, rows in layouts(X):
        blocks = [cluster.make_block(rows[:700], y[:700]), cluster.make_block(rows[700:], y[700:])]
        made = cluster.make_parts(blocks, [(10, 700), (0, 300)], 3, 480, encoding)
        assert [part.number for part in made] == [3, 4, 5]
        assert same_bits(np.concatenate([part.rows for part in made]), X[10:])
        assert all(part.rows.flags.carray for part in made)


def test_a_worker_of_four_threads_calls_at_once():
    """Of the threads one has the team, and the others do their rows alone: the same bits."""
    logits = rng(2).standard_normal((3000, 10), dtype=np.float32)
    labels = np.arange(3000) % 10
    expected = fs.softmax(logits), *fs.cross_entropy_value_and_grad(logits, labels)

    def same(_):
        found = fs.softmax(logits), *fs.cross_entropy_value_and_grad(logits, labels)
        return all(same_bits(a, b) for a, b in zip(found, expected, strict=True))

    with (
        LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None) as local,
        Client(local) as client,
    ):
        assert all(client.gather(client.map(same, range(300), pure=False)))


def test_an_interrupted_client_keeps_the_last_good_weights(workers, data):
    X, y = in_chunks(data[0][:2000], data[1][:2000], 700)
    passes = iter(range(100))

    def interrupted(*arguments, fold=cluster.ClusterParts.fold, **options):
        if next(passes) == 9:
            raise KeyboardInterrupt
        return fold(*arguments, **options)

    model = DaskSoftmaxClassifier(workers, **{**OPTIONS, "max_iter": 50})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster.ClusterParts, "fold", interrupted)
        with pytest.warns(UserWarning, match="interrupted by user"):
            model.fit(X, y)
    assert 0 < len(model.loss_curve_) < 9
    assert np.isfinite(model.coef_).all()


def test_a_signal_ends_the_wait_for_workers(workers, data):
    """As Ctrl-C sends it; what the workers were asked for is no longer wanted."""
    X, y = in_chunks(data[0][:2000], data[1][:2000], 700)
    submit, passes = cluster.ClusterParts._submit, []

    def and_wait(self, *arguments):
        passes.append(submit(self, *arguments))
        if len(passes) < 8:
            return passes[-1]
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        return [workers.submit(time.sleep, 1.5, pure=False)]

    model = DaskSoftmaxClassifier(workers, **{**OPTIONS, "max_iter": 50})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster.ClusterParts, "_submit", and_wait)
        start = time.monotonic()
        with pytest.warns(UserWarning, match="interrupted by user"):
            model.fit(X, y)
    assert 0 < len(model.loss_curve_) < 8
    assert np.isfinite(model.coef_).all()
    assert time.monotonic() - start < 30
    assert same_bits(quiet(model.set_params(max_iter=4), X, y).coef_, alone_of(data).coef_)


def alone_of(data):
    return quiet(fs.SoftmaxClassifier(**OPTIONS), data[0][:2000], data[1][:2000])


def test_a_cluster_without_workers(data):
    with (
        pytest.MonkeyPatch.context() as patch,
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        Client(empty) as client,
    ):
        patch.setattr(cluster, "LOOK_SECONDS", 0.05)
        patch.setattr(cluster, "NO_WORKER_SECONDS", 0.1)
        with pytest.raises(RuntimeError, match="no worker"):
            DaskSoftmaxClassifier(client).fit(*in_chunks(data[0][:100], data[1][:100], 50))


def test_dask_ml_as_it_is(workers, data):
    """Incremental and ParallelPostFit, which take any classifier."""
    wrappers = pytest.importorskip("dask_ml.wrappers", reason="dask-ml is not installed", exc_type=ImportError)
    X, y = data[0][:3000, :20], data[1][:3000]
    rows, labels = da.from_array(X, chunks=(1000, 20)), da.from_array(y, chunks=1000)
    sgd = fs.SoftmaxClassifier(solver="sgd", random_state=0)
    taken = wrappers.Incremental(sgd, shuffle_blocks=False).fit(rows, labels, classes=[0, 1, 2, 3])
    by_hand = fs.SoftmaxClassifier(solver="sgd", random_state=0)
    for first in range(0, 3000, 1000):
        by_hand.partial_fit(X[first : first + 1000], y[first : first + 1000], classes=[0, 1, 2, 3])
    assert same_bits(taken.estimator_.coef_, by_hand.coef_)
    after = wrappers.ParallelPostFit(quiet(fs.SoftmaxClassifier(**OPTIONS), X, y))
    assert same_bits(after.predict_proba(rows).compute(), after.estimator.predict_proba(X))
