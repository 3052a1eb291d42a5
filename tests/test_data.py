"""Rows that are read block by block: the coefficients are those of arrays, bit for bit, whatever the blocks are."""

import os
import subprocess
import sys
import threading
from itertools import pairwise

import numpy as np
import pytest
from helpers import JIT, quiet, rng, same_bits
from scipy.sparse import csr_array, save_npz
from test_checkpoint import Stopped, stop_after

import fastsoftmax as fs
from fastsoftmax.classifier.streams import Encoding
from fastsoftmax.data import files, pieces
from fastsoftmax.data.source import Block, ahead, put
from fastsoftmax.training import parts
from fastsoftmax.training.parts import Node, Part, Tree, part_rows
from fastsoftmax.training.stream import HeldOut, StreamObjective

needs_jit = pytest.mark.skipif(not JIT, reason="takes minutes as Python")

N, D, C = 4003, 12, 4
CUTS = [0, 1000, 1001, 1001, 2900, N]  # of files: one row, and none


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of 480 rows of a dense matrix, of 480 or 960 of a sparse one."""
    monkeypatch.setattr(parts, "ELEMENTS", 480 * D)
    monkeypatch.setattr(parts, "CSR_GROUPS", 1)
    monkeypatch.setattr(parts, "MOST_CSR_GROUPS", 2)


def rows(dtype, sparse=False):
    """Values that float16 holds, so that it can be the storage; two features nearly equal, which are whitened."""
    X = rng(0).standard_normal((N, D)) * np.arange(1, D + 1) + 3
    X[:, 3] = X[:, 4] + 0.01 * X[:, 3]
    if sparse:
        X[rng(1).random(X.shape) < 0.6] = 0
    X = X.astype(np.float16).astype(dtype)
    y = (X @ rng(2).standard_normal((D, C)) + rng(3).gumbel(size=(N, C))).argmax(axis=1)
    return (csr_array(X) if sparse else X), y


def as_files(folder, X, y, weight):
    paths = []
    for number, (first, last) in enumerate(pairwise(CUTS)):
        paths.append(folder / f"{number}.np{'z' if isinstance(X, csr_array) else 'y'}")
        if isinstance(X, csr_array):
            save_npz(paths[-1], X[first:last])
        else:
            some = X[first:last]
            np.save(paths[-1], [some, np.asfortranarray(some), some.astype(">f8")][number % 3])
    return fs.data.from_files(paths, y, weight)


def as_blocks(X, y, weight, step=777):
    def blocks():
        for first in range(0, X.shape[0], step):
            here = slice(first, first + step)
            yield (X[here], y[here]) if weight is None else (X[here], y[here], weight[here])

    return fs.data.from_blocks(blocks)


TARGETS = {
    "plain": lambda y: (y, None, None),
    "names, weighted, balanced": lambda y: (np.array(list("dabc"))[y], rng(4).random(N), "balanced"),
    "soft": lambda y: (rng(5).dirichlet(np.ones(C), N), rng(4).random(N), {0: 1, 1: 2, 2: 0.3, 3: 0.7}),
    "two classes, some weigh nothing": lambda y: (y > 1, (rng(6).random(N) < 0.5) * 1.0, None),
}


@needs_jit
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky"])
@pytest.mark.parametrize("targets", TARGETS)
def test_files_and_blocks_give_the_same_bits_as_arrays(tmp_path, targets, solver, sparse):
    X, y = rows(np.float64, sparse)
    y, weight, class_weight = TARGETS[targets](y)
    model = fs.SoftmaxClassifier(solver=solver, max_iter=5, class_weight=class_weight, label_smoothing=0.01)
    fits = []
    for given in ((X, y, weight), (as_files(tmp_path, X, y, weight),), (as_blocks(X, y, weight),)):
        fits.append(quiet(model, *given))
        fits[-1] = model.classes_, model.coef_.copy(), model.intercept_, model.loss_, model.n_features_in_
    for found in fits[1:]:
        assert all(same_bits(a, b) for a, b in zip(fits[0], found, strict=True))


@needs_jit
@pytest.mark.parametrize("storage", [np.float16, np.float32, np.uint8, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memmaps(tmp_path, storage, order):
    X, y = rows(np.float64)
    X = np.clip(X + 60, 0, 250).astype(storage)
    mapped = np.memmap(tmp_path / "X", storage, "w+", shape=X.shape, order=order)
    mapped[:] = X
    mapped.flush()
    read_only = np.memmap(tmp_path / "X", storage, "r", shape=X.shape, order=order)
    wide = X.astype(np.float32 if storage in (np.float16, np.float32) else np.float64)
    l1 = {"l1_ratio": 1.0, "alpha": 50.0}
    for params in ({}, l1, {**l1, "solver": "lbfgs"}, {"solver": "sgd"}, {"backward": "vjp"}):
        fits = [quiet(fs.SoftmaxClassifier(max_iter=4, random_state=0, **params), Z, y) for Z in (read_only, X, wide)]
        assert all(same_bits(fit.coef_, fits[0].coef_) for fit in fits)
        assert fits[0].coef_.dtype == wide.dtype


@needs_jit
@pytest.mark.parametrize("dtype", [">f8", ">f4", ">f2"])
def test_memmaps_that_can_be_written_in_another_byte_order(tmp_path, dtype):
    X, y = rows(np.float64)
    mapped = np.memmap(tmp_path / "X", dtype, "w+", shape=X.shape)
    mapped[:] = X
    plain = X.astype(np.float64 if dtype == ">f8" else np.float32)
    found, alone = (quiet(fs.SoftmaxClassifier(max_iter=3), Z, y) for Z in (mapped, plain))
    assert same_bits(found.coef_, alone.coef_)


def test_memmaps_and_columns_of_another_length(tmp_path):
    mapped = np.memmap(tmp_path / "X", np.int8, "w+", shape=(5, 1))
    for y, weight, message in (
        ([0, 1, 0, 1], None, "y must have as many rows as X, 5, got 4"),
        ([0, 1, 0, 1, 0], np.ones(6), "sample_weight must have as many rows as X, 5, got 6"),
    ):
        with pytest.raises(ValueError, match=message):
            fs.SoftmaxClassifier(solver="lbfgs").fit(mapped, y, weight)


def test_memmaps_and_columns_that_are_none(tmp_path):
    mapped = np.memmap(tmp_path / "X", np.int8, "w+", shape=(4, 2))
    mapped[:] = [[0, 1], [2, 3], [5, 4], [6, 8]]
    labels, model = np.array([0, 1, 0, 1]), fs.SoftmaxClassifier(solver="lbfgs")
    with pytest.raises(TypeError, match="y must be dense, got a sparse csr_array"):  # found by fuzz
        model.fit(mapped, csr_array(labels[:, None]))
    with pytest.raises(TypeError, match="sample_weight must be dense"):
        model.fit(mapped, labels, csr_array(np.ones((4, 1))))
    with pytest.raises(ValueError, match="y must have as many rows as X, got a single value"):
        model.fit(mapped, 5)
    with pytest.raises(ValueError, match="y"):
        model.fit(mapped, None)
    assert same_bits(model.fit(mapped, labels, 2.0).coef_, model.fit(mapped, labels, np.full(4, 2.0)).coef_)


@needs_jit
def test_files_larger_than_memory_are_not_kept_in_the_page_cache(tmp_path, monkeypatch):
    X, y = rows(np.float32)
    forgotten, plain = [], getattr(os, "posix_fadvise", None)
    if plain is None:
        pytest.skip("the system takes no such advice")
    monkeypatch.setattr(os, "posix_fadvise", lambda *told: forgotten.append(told[1:3]) or plain(*told))
    alone = quiet(fs.SoftmaxClassifier(max_iter=3), X, y).coef_
    np.save(tmp_path / "X.npy", X)
    for memory in (X.nbytes, X.nbytes - 1):
        monkeypatch.setattr(files, "usable_memory", lambda memory=memory: memory)
        source = fs.data.from_files(tmp_path / "X.npy", y)
        assert same_bits(quiet(fs.SoftmaxClassifier(max_iter=3), source).coef_, alone)
        assert bool(forgotten) == (memory < X.nbytes)
    assert max(start + size for start, size in forgotten) == (tmp_path / "X.npy").stat().st_size


@needs_jit
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_networks_and_threads(hidden):
    X, y = rows(np.float32)
    model = fs.SoftmaxClassifier(hidden, solver="lbfgs", max_iter=5, random_state=0)
    found = []
    for n_threads, given in ((1, (X, y)), (2, (as_blocks(X, y, None),)), (3, (as_blocks(X, y, None, 5000),))):
        with fs.num_threads(n_threads):
            found.append(quiet(model, *given).coefs_[0].copy())
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


@needs_jit
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_epochs_take_runs_and_rows_in_another_order(tmp_path, solver):
    X, y = rows(np.float32)
    X = np.ascontiguousarray((X - X.mean(axis=0)) / X.std(axis=0))
    options = {"solver": solver, "max_iter": 15, "alpha": 1.0, "tol": 0.0, "batch_size": 96}
    usual = quiet(fs.SoftmaxClassifier(**options, random_state=0), X.astype(float), y).loss_
    files, blocks = as_files(tmp_path, X, y, None), as_blocks(X, y, None)
    first = quiet(fs.SoftmaxClassifier(**options, random_state=0), files)
    assert first.t_ == 15 * N
    assert first.loss_ == pytest.approx(usual, rel=0.05)
    again, other = fs.SoftmaxClassifier(**options, random_state=0), fs.SoftmaxClassifier(**options, random_state=1)
    assert same_bits(quiet(again, files).coef_, first.coef_)
    assert not same_bits(quiet(other, files).coef_, first.coef_)
    assert quiet(fs.SoftmaxClassifier(**options, random_state=0), blocks).loss_ == pytest.approx(usual, rel=0.05)


@needs_jit
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_early_stopping_holds_rows_of_each_part_out(tmp_path, sparse):
    """They have no part in the training, and the scores are theirs."""
    X, y = rows(np.float64, sparse)
    X, y, weight = X[:470], y[:470], rng(1).random(470)  # one part
    held = HeldOut(0.2).divide(Part(0, np.empty((470, 0)), (y, y[:0]), weight, np.empty(470)))[1]
    assert len(held) == 94
    options = {"solver": "sgd", "max_iter": 1, "early_stopping": True, "validation_fraction": 0.2, "random_state": 0}
    model = quiet(fs.SoftmaxClassifier(**options), as_blocks(X, y, weight, 100))
    assert model.t_ == 470 - 94
    assert model.validation_scores_ == [pytest.approx(model.score(X[held], y[held], weight[held]))]
    losses = -model.predict_log_proba(X[held])[np.arange(94), y[held]]
    assert model.validation_loss_curve_ == [pytest.approx(np.average(losses, weights=weight[held]))]
    other = y.copy()
    other[held] = 0
    assert same_bits(quiet(fs.SoftmaxClassifier(**options), as_blocks(X, other, weight, 100)).coef_, model.coef_)
    other = (y + 1) % C
    other[held] = y[held]
    assert not same_bits(quiet(fs.SoftmaxClassifier(**options), as_blocks(X, other, weight, 100)).coef_, model.coef_)
    weight[held] = 0
    with pytest.raises(ValueError, match="held out have no weight: raise validation_fraction"):
        fs.SoftmaxClassifier(**options).fit(as_blocks(X, y, weight))
    only_held = np.isin(np.arange(470), held).astype(float)
    with pytest.raises(ValueError, match="trained on have no weight: lower validation_fraction"):
        fs.SoftmaxClassifier(**options).fit(as_blocks(X, y, only_held))


@needs_jit
@pytest.mark.parametrize("targets", ["plain", "soft"])
def test_early_stopping_ends_with_the_best_weights_and_goes_on_from_a_checkpoint(tmp_path, targets):
    X, y = rows(np.float32)
    X = np.ascontiguousarray((X - X.mean(axis=0)) / X.std(axis=0))
    y = y if targets == "plain" else np.eye(C)[y]
    source, file = as_files(tmp_path, X, y, None), tmp_path / "model.npz"
    options = {"solver": "adam", "learning_rate_init": 0.03, "early_stopping": True, "n_iter_no_change": 3}
    model = quiet(fs.SoftmaxClassifier(max_iter=100, random_state=0, **options), source)
    assert 3 < model.n_iter_ < 100
    assert len(model.validation_scores_) == model.n_iter_
    assert max(model.validation_scores_) > 0.5
    assert N * 0.89 < model.t_ / model.n_iter_ < N * 0.9
    again = fs.SoftmaxClassifier(max_iter=100, random_state=0, checkpoint=file, checkpoint_every=1, **options)
    with pytest.MonkeyPatch.context() as patch:
        epochs = iter(range(3))
        epoch = StreamObjective.epoch
        patch.setattr(StreamObjective, "epoch", lambda *given: (next(epochs), epoch(*given))[1])
        with pytest.raises(StopIteration):
            again.fit(source)
    resumed = fs.SoftmaxClassifier.load(file).set_params(warm_start=True, checkpoint=None)
    quiet(resumed, source)
    assert resumed.validation_scores_ == model.validation_scores_
    assert same_bits(resumed.coef_, model.coef_)


@needs_jit
@pytest.mark.parametrize("was_on", ["array", "source"])
def test_a_training_goes_on_with_no_data_of_the_other_kind(tmp_path, was_on):
    """There are as many parts as there are samples in the array."""
    X, y = rows(np.float64)
    source, array, file = (as_files(tmp_path, X, y, None),), (X[:9], np.arange(9) % C), tmp_path / "model.npz"
    first, then = (array, source) if was_on == "array" else (source, array)
    options = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 6}
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            quiet(fs.SoftmaxClassifier(solver="sgd", checkpoint=file, checkpoint_every=1, **options), *first)
    halfway, weights = (fs.SoftmaxClassifier.load(file) for _ in range(2))
    for model in (halfway, weights):
        model.set_params(warm_start=True, random_state=0)
    weights._unfinished = weights._descent = None
    reason = "on a source, and this is an array" if was_on == "source" else "on an array, and this is a source"
    with pytest.warns(UserWarning, match=reason):
        quiet(halfway, *then)
    assert same_bits(halfway.coef_, quiet(weights, *then).coef_)


@needs_jit
def test_partial_fit_takes_block_by_block(tmp_path, monkeypatch):
    X, y = rows(np.float32)
    monkeypatch.setattr(files, "NUMBERS", 1500 * D)
    model, other = (fs.SoftmaxClassifier(solver="sgd", random_state=0) for _ in range(2))
    for block in as_files(tmp_path, X, y, None).blocks():
        model.partial_fit(block.X, block.y, range(C))
    assert model.t_ == N
    for first in (0, 1500, 3000):
        other.partial_fit(X[first : first + 1500], y[first : first + 1500], range(C))
    assert same_bits(other.coef_, model.coef_)


@needs_jit
def test_npz_files_with_all_in_them(tmp_path):
    X, y = rows(np.float32)
    for number in range(2):
        here = slice(number * 2000, number * 2000 + 2003)
        np.savez(tmp_path / f"{number}.npz", X=X[here], y=y[here], sample_weight=np.ones(2003))
    both = np.concatenate([X[:2003], X[2000:]]), np.concatenate([y[:2003], y[2000:]])
    source = fs.data.from_files([tmp_path / "0.npz", tmp_path / "1.npz"])
    ours, theirs = fs.SoftmaxClassifier(max_iter=3), fs.SoftmaxClassifier(max_iter=3)
    assert same_bits(quiet(ours, source).coef_, quiet(theirs, *both, np.ones(4006)).coef_)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, float, str, object, bool])
def test_labels_of_every_kind_are_found_and_others_are_refused(dtype):
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    kinds = {"i": [info.min, info.min + 1], "u": [info.max - 1, info.max]} if info else {}
    classes = np.array(kinds.get(np.dtype(dtype).kind, ["a", "b"] if dtype in (str, object) else [0, 1]), dtype)
    encoding = Encoding(classes, np.empty(0), "cross_entropy", np.dtype(np.float64))
    part = encoding.part(0, Block(np.eye(3), classes[[1, 0, 1]]))
    assert part.by_kind[0].tolist() == [1, 0, 1]
    for c in (0, 1):
        fewer = Encoding(np.append(classes[[c]], classes[[c]]), np.empty(0), "cross_entropy", np.dtype(np.float64))
        with pytest.raises(ValueError, match="not in classes_"):
            fewer.part(0, Block(np.eye(3), classes[[1, 0, 1]]))


def test_float16_is_widened_exactly():
    every = np.arange(2**16).astype(np.uint16).view(np.float16).reshape(64, 1024)
    every = every if JIT else every[::8].copy()
    wide, right = np.empty(every.shape, np.float32), every.astype(np.float32)
    assert put(every, wide) is wide
    assert np.array_equal(wide, right, equal_nan=True)
    known = ~np.isnan(right)
    assert np.array_equal(wide.view(np.uint32)[known], right.view(np.uint32)[known])  # -0.0, too


def test_a_sum_does_not_depend_on_what_comes_first():
    values = rng(0).standard_normal(37) * 10.0 ** rng(1).integers(-8, 8, 37)
    sums = set()
    for seed in range(20):
        tree = Tree()
        for number in rng(seed).permutation(37):
            tree.put(Node(0, int(number), (float(values[number]),)))
        sums.add(tree.total()[0])
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(values.sum())
    assert len({float(values[rng(seed).permutation(37)].cumsum()[-1]) for seed in range(20)}) > 1


@pytest.mark.parametrize("n_features", [1, 12, 784, 10**6])
@pytest.mark.parametrize("sparse", [False, True])
def test_parts_are_whole_reduction_groups(n_features, sparse):
    groups, rest = divmod(part_rows(n_features, 10, sparse), 480)
    assert rest == 0
    assert groups >= 1
    assert groups & (groups - 1) == 0


BAD = [
    (lambda: fs.data.from_blocks(iter([])), TypeError, "factory must be a function"),
    (lambda: fs.data.from_blocks(lambda: [[1]]), TypeError, r"block 0 must be \(X, y\)"),
    (lambda: fs.data.from_blocks(lambda: [(np.ones((3, 2)), [1, 2])]), ValueError, "y of block 0 must have 3 rows"),
    (lambda: fs.data.from_blocks(lambda: [(np.ones(3), [1, 2, 3])]), ValueError, "X of block 0"),
    (lambda: fs.data.from_blocks(lambda: [(csr_array(np.eye(3)).tocsc(), [1, 2, 3])]), TypeError, "X of block 0.*csc"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(3), [1, 2, 3], [1])]), ValueError, "sample_weight of block 0"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(3), [1, 2, 3], [1, -1, 2])]), ValueError, "sample_weight"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(3), [1, 2, 3], [0, 0, 0])]), ValueError, "sample_weight.*all zero"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2), [1, 2]), (np.eye(3), [1, 2, 3])]), ValueError, "n_features"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2), [1, 1])]), ValueError, "one class"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2), [0.5, 1])]), ValueError, "continuous"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2) * np.nan, [0, 1])]), ValueError, "X contains NaN"),
    (lambda: fs.data.from_blocks(lambda: [(np.diag(np.float16([1, "inf"])), [0, 1])]), ValueError, "X contains inf"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2), [np.nan, 1])]), ValueError, "y contains NaN"),
    (lambda: fs.data.from_blocks(lambda: [(np.eye(2), [[0.5, 0.6], [0, 1]])]), ValueError, "no distribution"),
    (lambda: fs.data.from_blocks(list), ValueError, "0 sample"),
    (
        lambda: fs.data.from_blocks(lambda: [(np.eye(2), np.full((2, n), 1 / n)) for n in (2, 3)]),
        ValueError,
        "as many columns in all blocks: 2, 3",
    ),
    (lambda: fs.data.from_files("X.csv"), ValueError, r"\.npy or \.npz"),
    (lambda: fs.data.from_files([]), TypeError, "X must be a path or a list"),
    (lambda: fs.data.from_files(None), TypeError, "X must be a path or a list"),
    (lambda: fs.data.from_files([b"x.npy"]), TypeError, "X must be a path or a list"),
    (lambda: fs.data.from_files("nowhere.npy", [1]), FileNotFoundError, "nowhere"),
]


@pytest.mark.parametrize(("source", "error", "message"), BAD, ids=[message for *_, message in BAD])
def test_what_cannot_be_used(source, error, message):
    with pytest.raises(error, match=message):
        fs.SoftmaxClassifier().fit(source())
    assert not [t for t in threading.enumerate() if t.name.startswith("fastsoftmax-reader")]


def test_files_that_do_not_fit(tmp_path):
    for name, array in (("a", np.eye(4)), ("b", np.eye(5)), ("y", np.arange(4)), ("v", np.ones(4))):
        np.save(tmp_path / f"{name}.npy", array)
    save_npz(tmp_path / "c.npz", csr_array(np.eye(4)).tocsc())
    save_npz(tmp_path / "csr.npz", csr_array(np.eye(4)))
    np.savez(tmp_path / "d.npz", Z=np.eye(4))
    (tmp_path / "e.npy").write_bytes(b"no array")
    a, b, y = (tmp_path / f"{name}.npy" for name in "aby")
    for arguments, error, message in (
        (([a, b], y), ValueError, "equally many columns"),
        (([a, tmp_path / "csr.npz"], y), ValueError, "dense in all files or sparse in all"),
        ((a, np.arange(5)), ValueError, "y must have as many rows as X, 4, got 5"),
        ((a, y, np.ones(3)), ValueError, "sample_weight must have as many rows"),
        ((a,), ValueError, "y must be given"),
        ((tmp_path / "v.npy", y), ValueError, "equally many columns"),
        ((tmp_path / "c.npz", y), TypeError, "CSR"),
        ((tmp_path / "d.npz", y), ValueError, "no array X: it has Z"),
        ((tmp_path / "e.npy", y), ValueError, "cannot be read as"),
    ):
        with pytest.raises(error, match=message):
            fs.data.from_files(*arguments)
    source = fs.data.from_files(a, y)
    for model, message in (
        (fs.SoftmaxClassifier(solver="coordinate-descent"), "coordinate-descent' needs X by columns: choose 'lbfgs'"),
        (fs.SoftmaxClassifier(backward="vjp"), "backward='vjp'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(source)
    with pytest.raises(ValueError, match="y must be None"):
        fs.SoftmaxClassifier().fit(source, [0, 1, 0, 1])
    for call in (
        lambda: fs.SoftmaxClassifier(solver="sgd").partial_fit(source, [0, 1, 0, 1], classes=[0, 1]),
        lambda: fs.SoftmaxClassifierCV().fit(source, [0, 1, 0, 1]),
        lambda: fs.SoftmaxClassifier().fit(np.eye(4), [0, 1, 0, 1]).predict(source),
    ):
        with pytest.raises(TypeError, match=r"X must be an array.*sources are for"):
            call()


def test_a_file_that_has_become_shorter(tmp_path):
    X, y = rng(0).standard_normal((1000, 3)), np.arange(1000) % 3
    np.save(tmp_path / "X.npy", X)
    source = fs.data.from_files(tmp_path / "X.npy", y)
    with open(tmp_path / "X.npy", "r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match=r"X\.npy ends before its last row"):
        fs.SoftmaxClassifier().fit(source)


@needs_jit
@pytest.mark.parametrize("storage", [np.float16, np.uint8])
def test_what_is_converted_is_read_piece_by_piece(tmp_path, monkeypatch, storage):
    """Pieces end within rows, and the last one of a run is shorter."""
    X, y = rng(0).integers(0, 200, (1000, 7)).astype(storage), np.arange(1000) % 3
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(pieces, "PIECE", 1001)
    found = quiet(fs.SoftmaxClassifier(max_iter=3), fs.data.from_files(tmp_path / "X.npy", y))
    assert same_bits(found.coef_, quiet(fs.SoftmaxClassifier(max_iter=3), X, y).coef_)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_no_file_stays_open(tmp_path):
    X, y = rng(0).standard_normal((1000, 3)), np.arange(1000) % 3
    np.save(tmp_path / "X.npy", X)
    source = fs.data.from_files([tmp_path / "X.npy"] * 3, np.tile(y, 3))
    n_open = len(os.listdir("/proc/self/fd"))
    for _ in source.blocks():
        assert len(os.listdir("/proc/self/fd")) == n_open + 1
    runs = source.runs(480, np.dtype(float), None)
    next(runs)
    runs.close()
    assert len(os.listdir("/proc/self/fd")) == n_open


def test_the_reader_is_one_ahead_and_never_two():
    """What is in use may be overwritten when the next but one is made."""
    made, used = [], []

    def numbers():
        for number in range(20):
            assert number - len(used) <= 1
            made.append(number)
            yield number

    for number in ahead(numbers()):
        used.append(number)
    assert used == made == list(range(20))


@needs_jit
def test_labels_in_several_files(tmp_path):
    X, y = rng(0).standard_normal((90, 3)), np.arange(90) % 3
    for name, some in (("a", slice(40)), ("b", slice(40, 90))):
        np.save(tmp_path / f"X{name}.npy", X[some])
        np.save(tmp_path / f"y{name}.npy", y[some])
    X_files, y_files = ([tmp_path / f"{column}{name}.npy" for name in "ab"] for column in "Xy")
    found = fs.SoftmaxClassifier().fit(fs.data.from_files(X_files, y_files))
    assert same_bits(found.coef_, fs.SoftmaxClassifier().fit(X, y).coef_)


def test_blocks_that_change_between_passes():
    passes = iter(range(100))

    def blocks():
        n = 1000 - next(passes)
        yield rng(0).standard_normal((n, 3)), np.arange(n) % 3

    with pytest.raises(ValueError, match="the same in each pass: they had 1000 rows, now 999"):
        fs.SoftmaxClassifier().fit(fs.data.from_blocks(blocks))

    def more_blocks():
        for _ in range(1 + next(passes)):
            yield rng(0).standard_normal((1000, 3)), np.arange(1000) % 3

    passes = iter(range(100))
    with pytest.raises(ValueError, match="they had 1000 rows, now 1920 or more"):
        fs.SoftmaxClassifier().fit(fs.data.from_blocks(more_blocks))


@needs_jit
def test_a_reader_that_fails_or_is_interrupted_ends_the_fit():
    calls = iter(range(100))

    def blocks():
        yield rng(0).standard_normal((1000, 3)), np.arange(1000) % 3
        if next(calls) == 6:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        fs.SoftmaxClassifier(solver="lbfgs", tol=1e-9).fit(fs.data.from_blocks(blocks))
    assert not [t for t in threading.enumerate() if t.name.startswith("fastsoftmax-reader")]


@needs_jit
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_peak_memory_is_two_runs_of_rows(tmp_path):
    """A file of 96 MB, in runs of 4 MB: without a copy of X, and without its pages."""
    X, y = rng(0).standard_normal((5000, 64)).astype(np.float32), (np.arange(5000) % 3).astype(np.int8)
    for name, times in (("small", 1), ("big", 75)):
        np.save(tmp_path / f"{name}_y.npy", np.tile(y, times))
        mapped = np.lib.format.open_memmap(tmp_path / f"{name}.npy", "w+", X.dtype, (times * 5000, 64))
        for first in range(0, len(mapped), 5000):
            mapped[first : first + 5000] = X
    code = """
import sys, fastsoftmax as fs
from fastsoftmax.classifier.streams import Encoding
from fastsoftmax.data.source import Block
from fastsoftmax.training import parts
parts.ELEMENTS = 2**20
for name in ("small", "big"):
    source = fs.data.from_files(f"{sys.argv[1]}/{name}.npy", f"{sys.argv[1]}/{name}_y.npy")
    fs.SoftmaxClassifier(solver="lbfgs", max_iter=3).fit(source)
    print([int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    small, big = map(int, done.stdout.split())
    assert big - small < 32 * 1024
