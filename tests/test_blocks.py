"""Where blocks, runs and files end, which the fits of test_data.py do not reach."""

import numpy as np
import pytest
from helpers import JIT, quiet, rng, same_bits

import fastsoftmax as fs


def test_blocks_that_end_where_a_run_ends():
    """Nothing is left over: no run of no rows follows."""
    X, y = rng(0).standard_normal((100, 3)), np.arange(100)
    source = fs.data.from_blocks(lambda: iter([(X[:20], y[:20]), (X[20:50], y[20:50]), (X[50:], y[50:])]))
    runs = list(source.runs(50, np.dtype(np.float64), None))
    assert [run.X.shape for run in runs] == [(50, 3), (50, 3)]
    assert same_bits(np.concatenate([run.y for run in runs]), y)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_that_holds_no_matrix_is_named(tmp_path, suffix):
    path = tmp_path / f"X.{suffix}"
    vector = np.zeros(5)
    np.save(path, vector) if suffix == "npy" else np.savez(path, X=vector)
    with pytest.raises(ValueError, match=rf"X must be matrices .*: {path} has shape \(5,\)"):
        fs.data.from_files([path], np.zeros(5))


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
def test_epochs_without_shuffling_take_all_rows_as_they_come():
    X, y = rng(0).standard_normal((3000, 4)), rng(1).integers(0, 3, 3000)
    source = fs.data.from_blocks(lambda: iter([(X[:1000], y[:1000]), (X[1000:], y[1000:])]))
    options = {"solver": "sgd", "max_iter": 3, "batch_size": 50}
    found = [
        quiet(fs.SoftmaxClassifier(**options, shuffle=shuffle, random_state=seed), source).coef_
        for shuffle, seed in ((False, 0), (False, 1), (True, 0))
    ]
    assert same_bits(found[0], found[1])
    assert not same_bits(found[0], found[2])
    in_memory = quiet(fs.SoftmaxClassifier(**options, shuffle=False, random_state=0), X, y)
    assert same_bits(found[0], in_memory.coef_)


@pytest.mark.skipif(not JIT, reason="takes minutes as Python")
@pytest.mark.parametrize("unknown", [-1, 3])
def test_a_label_that_was_not_there_before(unknown):
    """Of consecutive numbers, which are not searched for among the classes."""
    X, y = rng(0).standard_normal((100, 3)), np.arange(100) % 3
    passes = []

    def blocks():
        passes.append(1)
        yield X, np.where(np.arange(100) == 70, unknown, y) if len(passes) > 1 else y

    with pytest.raises(ValueError, match=rf"classes_: \[{unknown}\]; classes_ is \[0, 1, 2\]"):
        fs.SoftmaxClassifier().fit(fs.data.from_blocks(blocks))
