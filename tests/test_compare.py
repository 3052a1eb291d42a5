"""The comparison: what it measures is what it says, and the ways back agree."""

import numpy as np
import pytest
from helpers import rng

from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.cli.compare import Settings, backward_seconds, compare, compare_classes, slope
from fastsoftmax.cli.datasets import DataSet, load
from fastsoftmax.training import backward
from fastsoftmax.training.array_objective import ArrayObjective

FEW = Settings(max_iter=3, repeats=2)


def test_the_three_ways_on_one_data_set():
    lines = []
    results = compare(load("iris"), Settings(repeats=2), lines.append)
    assert [r.backward for r in results] == ["jacobian", "vjp", "fused"]
    for r in results:
        assert (r.dataset, r.n_samples, r.n_features, r.n_classes) == ("iris", 150, 4, 3)
        assert r.accuracy > 0.85
        assert r.accuracy == results[0].accuracy
        assert r.loss == pytest.approx(results[0].loss, rel=1e-10)
        assert r.max_abs_diff < 1e-12
        assert r.fit_seconds > 0
        assert r.speedup == results[0].fit_seconds / r.fit_seconds
    assert results[0].max_abs_diff == 0
    assert lines[0] == "iris: 150 samples, 4 features, 3 classes"
    assert "machine code ready after" in lines[1]


def test_a_wrong_way_back_would_show(monkeypatch):
    def wrong(loss, logits, targets, options):
        value, grad = backward._fused(loss, logits, targets, options)
        return value, 1.01 * grad

    monkeypatch.setitem(backward.BACKWARD, "vjp", wrong)
    results = compare(load("iris"), FEW)
    assert results[2].max_abs_diff < 1e-12 < 1e-4 < results[1].max_abs_diff


def test_code_is_compiled_before_anything_is_timed(monkeypatch):
    """The first calls, one for each way, are short; then the ways take turns."""
    calls = []
    original = SoftmaxClassifier.fit

    def spy(self, X, y):
        calls.append((self.backward, self.max_iter, len(X)))
        return original(self, X, y)

    monkeypatch.setattr(SoftmaxClassifier, "fit", spy)
    compare(load("iris"), FEW)
    ways = ["jacobian", "vjp", "fused"]
    assert [way for way, _, _ in calls] == ways * 3
    assert {(epochs, n <= 65) for _, epochs, n in calls[:3]} == {(1, True)}
    assert {(epochs, n) for _, epochs, n in calls[3:]} == {(3, 113)}


def test_the_settings_reach_the_training():
    results = compare(load("wine"), Settings(hidden_layer_sizes=(5,), loss="squared_error", dtype="float32", repeats=1))
    assert 1e-9 < max(r.max_abs_diff for r in results) < 1e-1  # float32 rounding
    other = compare(load("wine"), Settings(random_state=1, repeats=1, max_iter=2))
    assert other[0].loss != compare(load("wine"), Settings(repeats=1, max_iter=2))[0].loss


def test_few_samples_and_lonely_classes():
    X = rng().standard_normal((7, 2))
    for y in (np.array([0, 1, 2, 3, 4, 5, 6]), np.array([0, 0, 0, 0, 0, 0, 1])):
        results = compare(DataSet("few", X, y, np.arange(y.max() + 1)), FEW)
        assert len(results) == 3
        assert 0 <= results[0].accuracy <= 1


def test_classes_and_slopes():
    results = compare_classes([5, 20])
    assert [(r.dataset, r.n_classes) for r in results[::3]] == [("made-5", 5), ("made-20", 20)]
    seconds = backward_seconds([10, 20], Settings(repeats=1))
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())
    assert slope([10, 100, 1000], [3e-6, 3e-4, 3e-2]) == pytest.approx(2)


def test_an_interrupt_of_a_fit_ends_the_comparison(monkeypatch):
    """A fit goes on with its last good weights and a warning: here nothing follows."""
    epochs, original = [], ArrayObjective.epoch

    def interrupted(self, *arguments):
        epochs.append(self)
        if len(epochs) == 6:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(ArrayObjective, "epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(load("iris"), FEW)
    assert len(epochs) == 6
