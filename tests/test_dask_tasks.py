"""What DaskSoftmaxClassifier does on workers, here on the threads of this process, and when workers are lost."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import JIT, quiet, rng, same_bits

import fastsoftmax as fs

pytest.importorskip("distributed", reason="Dask is not installed: pip install fastsoftmax[dask]")
if not JIT:
    pytest.skip("takes minutes as Python", allow_module_level=True)

import dask.array as da
from distributed import CancelledError, Client, KilledWorker, LocalCluster
from test_checkpoint import Stopped, stop_after

from fastsoftmax.classifier.streams import Encoding
from fastsoftmax.dask import DaskSoftmaxClassifier, cluster
from fastsoftmax.training import parts

D, PART = 120, 480
OPTIONS = {"solver": "lbfgs", "max_iter": 3, "tol": 0.0}


@pytest.fixture(scope="module")
def client():
    """Two workers of two threads each, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what distributed has to say of the machine
        with (
            LocalCluster(n_workers=2, threads_per_worker=2, processes=False, dashboard_address=None) as local,
            Client(local) as made,
        ):
            yield made


@pytest.fixture(autouse=True)
def _warnings_of_distributed(recwarn):
    warnings.filterwarnings("ignore", module="distributed")


def test_sums_that_are_combined_on_workers_are_the_same_bits(client, monkeypatch):
    monkeypatch.setattr(parts, "ELEMENTS", PART * D)
    monkeypatch.setattr(cluster, "MERGED", 2)
    tasks = []

    def counted(self, function, *arguments, map=Client.map, **options):
        tasks.append(function)
        return map(self, function, *arguments, **options)

    monkeypatch.setattr(Client, "map", counted)
    X, y = rng(0).standard_normal((21 * PART + 123, D), dtype=np.float32), rng(1).integers(0, 4, 21 * PART + 123)
    alone = quiet(fs.SoftmaxClassifier(**OPTIONS), X, y)
    rows, labels = da.from_array(X, chunks=(700, D)), da.from_array(y, chunks=700)
    model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), rows, labels)
    assert cluster.merged in tasks
    assert same_bits(model.coef_, alone.coef_)
    assert model.loss_curve_ == alone.loss_curve_


def test_answers_and_scores_of_chunks_of_which_some_are_empty(client):
    X, y = rng(0).standard_normal((900, 5)), rng(1).integers(0, 3, 900)
    weight = rng(2).random(900)
    cuts = ((400, 0, 500),)
    rows, labels, weights = (da.from_array(a, chunks=cuts + a.shape[1:]) for a in (X, y, weight))
    model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), rows, labels)
    local = model.to_local()
    assert same_bits(model.predict_proba(rows).compute(), local.predict_proba(X))
    assert same_bits(model.predict(rows).compute(), local.predict(X))
    assert model.score(rows, labels) == pytest.approx(local.score(X, y))
    assert model.score(rows, labels, weights) == pytest.approx(local.score(X, y, weight))


def test_chunks_of_unknown_length_are_taken_as_they_come(client):
    """As after a mask: then y must have been cut in the same way."""
    X, y = rng(0).standard_normal((900, 5)), rng(1).integers(0, 4, 900)
    rows, labels = da.from_array(X, chunks=(400, 5)), da.from_array(y, chunks=400)
    model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), rows[labels < 3], labels[labels < 3])
    assert same_bits(model.coef_, quiet(fs.SoftmaxClassifier(**OPTIONS), X[y < 3], y[y < 3]).coef_)


def test_a_dataframes_answers_keep_its_index_and_name_the_classes(client):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    dd = pytest.importorskip("dask.dataframe", reason="dask.dataframe is not installed")
    frame = pd.DataFrame(rng(0).standard_normal((60, 2)), [f"row {n}" for n in range(60)], ["a", "b"])
    y = pd.Series(np.where(frame["a"] > 0, "yes", "no"), frame.index)
    model = quiet(DaskSoftmaxClassifier(client, **OPTIONS), dd.from_pandas(frame, 2), dd.from_pandas(y, 2))
    probs = model.predict_proba(dd.from_pandas(frame, 3)).compute()
    assert list(probs.columns) == ["no", "yes"]
    assert probs.index.equals(frame.index.sort_values())
    assert same_bits(probs.loc[frame.index].to_numpy(), model.to_local().predict_proba(frame))


@pytest.mark.parametrize(("y", "weight", "message"), [
    (np.zeros(3), None, "y must have as many rows as X in each chunk: 3, 2"),
    (np.zeros((2, 1)), np.ones(1), "sample_weight must have as many rows as X in each chunk: 1, 2"),
])  # fmt: skip
def test_blocks_that_do_not_fit(y, weight, message):
    with pytest.raises(ValueError, match=message):
        cluster.make_block(np.zeros((2, 4)), y, weight)


def test_rows_of_several_blocks_are_cut_into_parts():
    X, y = rng(0).standard_normal((100, 3)), np.arange(100) % 2
    blocks = [cluster.make_block(X[first:last], y[first:last]) for first, last in ((0, 50), (50, 60), (60, 100))]
    encoding = Encoding(np.array([0, 1]), np.empty(0), "cross_entropy", np.dtype(np.float64))
    found = cluster.make_parts(blocks, [(10, 50), (0, 10), (0, 35)], 7, 32, encoding)
    assert [part.number for part in found] == [7, 8, 9]
    for part, (first, last) in zip(found, ((10, 42), (42, 74), (74, 95)), strict=True):
        assert same_bits(part.rows, X[first:last])
        assert same_bits(part.by_kind[0], y[first:last])
    assert cluster.bytes_of_run(found) == X[10:95].nbytes + y[10:95].nbytes


@pytest.mark.parametrize(
    ("n_rows", "wanted"),
    [(32 * PART + 264, [16 * PART, 16 * PART + 264]), (33 * PART, [16 * PART, 17 * PART]), (PART, [0, PART])],
    ids=["a short last part", "whole parts", "one part"],
)
def test_workers_have_as_many_rows_as_the_parts_allow(n_rows, wanted, monkeypatch):
    placed = {"a": 0, "b": 0}
    found = SimpleNamespace(n_rows=n_rows, n_features=D, is_sparse=False)
    stream = cluster.ClusterStream.__new__(cluster.ClusterStream)
    stream.found, stream._blocks, stream._n_threads = found, [None], 1
    stream._client = SimpleNamespace(nthreads=lambda: {"a": 1, "b": 1})

    def run(first_part, n_parts, rows_a_part, encoding, worker):
        placed[worker] += min((first_part + n_parts) * rows_a_part, n_rows) - first_part * rows_a_part

    stream._run = run
    monkeypatch.setattr(cluster, "part_rows", lambda *_: PART)
    monkeypatch.setattr(cluster, "ClusterParts", lambda *_: None)
    stream.parts(None, 1)
    assert list(placed.values()) == wanted


class Workers:
    """Stands for a client whose workers answer, or end with an error, as they are told."""

    def __init__(self, *answers):
        self.answers, self.cancelled = list(answers), []

    def gather(self, futures):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self, futures):
        self.cancelled += futures


class Undone:
    def done(self):
        return False


@pytest.fixture
def _no_waiting(monkeypatch):
    monkeypatch.setattr(cluster, "wait", lambda futures, timeout: None)


@pytest.mark.usefixtures("_no_waiting")
def test_what_was_lost_is_submitted_anew_and_what_is_undone_is_called_off():
    workers, undone = Workers(CancelledError("lost"), CancelledError("lost"), [1, 2]), Undone()
    submitted = []
    assert cluster.settle(workers, lambda: submitted.append(1) or [undone]) == [1, 2]
    assert len(submitted) == 3
    assert workers.cancelled == [undone] * 3


@pytest.mark.usefixtures("_no_waiting")
def test_workers_that_die_again_and_again_are_an_error():
    lost = Workers(*[CancelledError("lost")] * cluster.ATTEMPTS)
    with pytest.raises(RuntimeError, match=f"workers were lost in each of {cluster.ATTEMPTS} attempts: "):
        cluster.settle(lost, lambda: [])
    assert lost.answers == []
    killed = Workers(KilledWorker("task", SimpleNamespace(address="tcp://a"), 3))
    with pytest.raises(RuntimeError, match="workers die while they compute: is their memory enough"):
        cluster.settle(killed, lambda: [])


@pytest.mark.parametrize(("looks", "ends"), [
    ([(0, {}), (50, {"a": 1}), (70, {}), (125, {}), (129, {})], False),
    ([(0, {"a": 1}), (50, {}), (109, {}), (111, {})], True),
    ([(0, {"a": 1}), (100, {"a": 1})], False),
])  # fmt: skip
def test_only_a_long_time_without_any_worker_is_an_error(looks, ends, monkeypatch):
    """Each look has its second, and the workers that there are; the results come after the last."""
    seconds, there = [second for second, _ in looks], [workers for _, workers in looks]
    ahead = list(looks)

    def wait(futures, timeout):
        if ahead:
            ahead.pop(0)
            raise TimeoutError

    def now():
        return seconds[len(looks) - len(ahead) - 1]

    monkeypatch.setattr(cluster, "wait", wait)
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=now))
    workers = Workers(["result"])
    workers.nthreads = lambda: there[len(looks) - len(ahead) - 1]
    if ends:
        with pytest.raises(RuntimeError, match="the cluster has had no worker for 60 seconds"):
            cluster.settle(workers, lambda: [])
    else:
        assert cluster.settle(workers, lambda: []) == ["result"]
    assert ahead == []


def test_a_training_by_sgd_that_was_not_finished_starts_anew_on_workers(client, tmp_path, monkeypatch):
    X, y, path = rng(0).standard_normal((90, 4)), rng(1).integers(0, 3, 90), tmp_path / "model"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(Stopped):
            fs.SoftmaxClassifier(solver="sgd", checkpoint=path, checkpoint_every=2, random_state=0).fit(X, y)
    rows, labels, options = (
        da.from_array(X, chunks=(40, 4)),
        da.from_array(y, chunks=40),
        {**OPTIONS, "warm_start": True},
    )
    model = DaskSoftmaxClassifier.load(path).set_params(**options)
    model._client = client
    with pytest.warns(UserWarning, match="the unfinished training cannot go on, .*: it was by another solver"):
        quiet(model, rows, labels)
    local = fs.SoftmaxClassifier.load(path).set_params(**options)
    local._unfinished = local._descent = None
    assert same_bits(model.coef_, quiet(local, X, y).coef_)
