"""A training in a file: what goes on from it is what would have been; the file is whole whenever the process ends."""

import errno
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import quiet, rng, same_parameters
from sklearn.base import clone

import fastsoftmax as fs
from fastsoftmax import ModelFormatError
from fastsoftmax.classifier import model_file

X = rng().standard_normal((230, 6)) * np.array([1, 3, 0.2, 1, 1, 2])
Y = (X @ rng(1).standard_normal((6, 4)) + rng(2).standard_normal((230, 4))).argmax(axis=1)
CURVES = ("loss_curve_", "validation_scores_", "validation_loss_curve_")
ENDS = (*CURVES, "loss_", "best_loss_", "best_validation_score_", "n_iter_", "t_")

CASES = {
    "sgd": {"solver": "sgd"},
    "adam": {"solver": "adam"},
    "no momentum": {"solver": "sgd", "momentum": 0.0},
    "no shuffling": {"solver": "sgd", "shuffle": False},
    "momentum of Polyak": {"solver": "sgd", "nesterovs_momentum": False, "batch_size": 7},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2},
    "ends by patience": {"solver": "sgd", "tol": 3e-3, "n_iter_no_change": 4, "max_iter": 300},
    "early stopping": {"solver": "adam", "early_stopping": True, "n_iter_no_change": 30, "learning_rate_init": 0.05},
    "early stopping ends": {"solver": "sgd", "early_stopping": True, "n_iter_no_change": 9, "max_iter": 100},
    "network": {"solver": "adam", "hidden_layer_sizes": (5, 4)},
    "network, sgd, early stopping": {"solver": "sgd", "hidden_layer_sizes": (8,), "early_stopping": True},
    "by the Jacobian": {"solver": "adam", "backward": "jacobian"},
    "weights": {"solver": "sgd", "class_weight": "balanced", "label_smoothing": 0.1, "loss": "squared_error"},
}


class Stopped(Exception):
    """Ends a training without a trace, as a signal does."""


def stop_after(monkeypatch, n_saves):
    """Let so many checkpoints be written, and end the training at the last."""
    write, left = model_file.write, [n_saves]

    def counting(*arguments):
        write(*arguments)
        left[0] -= 1
        if left[0] == 0:
            raise Stopped

    monkeypatch.setattr(model_file, "write", counting)


def went_on(path, **params):
    """The classifier that the file holds, trained to the end."""
    model = fs.SoftmaxClassifier.load(path).set_params(warm_start=True, checkpoint=path, **params)
    return quiet(model, X, Y)


def same_ends(a, b):
    """Whether two classifiers have the same parameters, curves and counts, to the bit."""
    return same_parameters(a, b) and all(getattr(a, name) == getattr(b, name) for name in ENDS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_what_goes_on_is_what_would_have_been(case, dtype, tmp_path, monkeypatch):
    path, samples = tmp_path / "model", X.astype(dtype)
    options = {"max_iter": 24, "random_state": 3, "tol": 0.0, **CASES[case]}
    whole = quiet(fs.SoftmaxClassifier(**options), samples, Y)
    model = fs.SoftmaxClassifier(**options, checkpoint=path, checkpoint_every=4)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            quiet(model, samples, Y)
    halfway = fs.SoftmaxClassifier.load(path)
    assert halfway.n_iter_ == len(halfway.loss_curve_) == 8
    assert halfway.loss_curve_ == whole.loss_curve_[:8]
    assert halfway.predict(X).shape == Y.shape
    assert halfway.checkpoint is None  # a file of somebody else's must not name one that is replaced
    with monkeypatch.context() as patch:  # it ends again, and is resumed from a resumed training
        stop_after(patch, 1)
        again = fs.SoftmaxClassifier.load(path).set_params(warm_start=True, checkpoint=path)
        with pytest.raises(Stopped):
            quiet(again, samples, Y)
    assert fs.SoftmaxClassifier.load(path).n_iter_ == 12
    resumed = fs.SoftmaxClassifier.load(path).set_params(warm_start=True, checkpoint=path)
    assert same_ends(quiet(resumed, samples, Y), whole)
    assert same_ends(fs.SoftmaxClassifier.load(path), whole)
    for model in (resumed, whole) if "early_stopping" not in options else ():
        model.set_params(class_weight=None).partial_fit(samples, Y)
    assert same_parameters(resumed, whole)


def test_two_classes_and_soft_targets_go_on_too(tmp_path, monkeypatch):
    for y in (np.where(Y > 1, "yes", "no"), np.eye(4)[Y] * 0.9 + 0.025):
        options = {"solver": "sgd", "max_iter": 9, "random_state": 0, "hidden_layer_sizes": 3}
        whole = quiet(fs.SoftmaxClassifier(**options), X, y)
        with monkeypatch.context() as patch:
            stop_after(patch, 2)
            with pytest.raises(Stopped):
                quiet(fs.SoftmaxClassifier(**options, checkpoint=tmp_path / "model", checkpoint_every=3), X, y)
        resumed = fs.SoftmaxClassifier.load(tmp_path / "model").set_params(warm_start=True)
        assert same_ends(quiet(resumed, X, y), whole)


def test_more_epochs_may_be_asked_for_and_none_may_be_left(tmp_path, monkeypatch):
    options = {"solver": "adam", "random_state": 0, "checkpoint": tmp_path / "model", "checkpoint_every": 4}
    stop_after(monkeypatch, 2)
    with pytest.raises(Stopped):
        quiet(fs.SoftmaxClassifier(**options, max_iter=8), X, Y)
    monkeypatch.undo()
    for max_iter in (8, 20):
        resumed = fs.SoftmaxClassifier.load(tmp_path / "model").set_params(warm_start=True, max_iter=max_iter)
        options.update(max_iter=max_iter, checkpoint=None)
        assert same_ends(quiet(resumed, X, Y), quiet(fs.SoftmaxClassifier(**options), X, Y))
        assert resumed.n_iter_ == max_iter


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "newton-cholesky", "coordinate-descent"])
def test_other_solvers_go_on_from_the_weights(solver, tmp_path, monkeypatch):
    path, options = tmp_path / "model", {"solver": solver, "alpha": 0.1, "tol": 1e-7}
    whole = fs.SoftmaxClassifier(**options).fit(X, Y)
    stop_after(monkeypatch, 2)
    with pytest.raises(Stopped):
        fs.SoftmaxClassifier(**options, checkpoint=path, checkpoint_every=1).fit(X, Y)
    monkeypatch.undo()
    halfway = fs.SoftmaxClassifier.load(path)
    assert halfway.loss_curve_ == whole.loss_curve_[:2]
    resumed = went_on(path)
    assert resumed.loss_ == pytest.approx(whole.loss_, rel=1e-6)
    assert resumed.n_iter_[0] < whole.n_iter_[0]
    assert same_parameters(fs.SoftmaxClassifier.load(path), resumed)


def test_a_training_that_came_to_its_end_is_not_gone_on_with(tmp_path):
    """Its file is what save writes: warm_start begins another one."""
    options = {"solver": "sgd", "max_iter": 6, "random_state": 0}
    model = quiet(fs.SoftmaxClassifier(**options, checkpoint=tmp_path / "model"), X, Y)
    model.save(tmp_path / "saved")
    assert (tmp_path / "saved").read_bytes() == (tmp_path / "model").read_bytes()
    again = went_on(tmp_path / "model", max_iter=3)
    assert again.n_iter_ == 3


def test_an_interrupt_leaves_the_checkpoint_to_go_on_from(tmp_path, monkeypatch):
    options = {"solver": "sgd", "max_iter": 12, "random_state": 0}
    whole = quiet(fs.SoftmaxClassifier(**options), X, Y)
    stop_after(monkeypatch, 2)
    monkeypatch.setattr(sys.modules[__name__], "Stopped", KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted"):
        fs.SoftmaxClassifier(**options, checkpoint=tmp_path / "model", checkpoint_every=5).fit(X, Y)
    assert same_ends(went_on(tmp_path / "model"), whole)


@pytest.mark.parametrize(
    ("change", "data", "reason"),
    [
        ({}, (X[:200], Y[:200]), "it was on 230 samples or parts of a source, and there are 200 samples"),
        ({}, (X.astype(np.float32), Y), "the classes or the dtype are others"),
        ({}, (X, Y + 1), "the classes are others"),
        ({"solver": "adam"}, (X, Y), "it was by another solver"),
        ({"solver": "lbfgs"}, (X, Y), "it was by another solver"),
        ({"early_stopping": True}, (X, Y), "early_stopping was another"),
    ],
)
def test_where_it_cannot_go_on_it_starts_anew_and_says_so(change, data, reason, tmp_path, monkeypatch):
    path = tmp_path / "model"
    stop_after(monkeypatch, 1)
    with pytest.raises(Stopped):
        quiet(fs.SoftmaxClassifier(solver="sgd", max_iter=8, checkpoint=path, checkpoint_every=2), X, Y)
    monkeypatch.undo()
    change = {**change, "warm_start": True, "random_state": 0}
    halfway, weights = (fs.SoftmaxClassifier.load(path).set_params(**change) for _ in range(2))
    weights._unfinished = weights._descent = None
    with pytest.warns(UserWarning, match=f"the unfinished training cannot go on, .*: {reason}"):
        quiet(halfway, *data)
    assert same_ends(halfway, quiet(weights, *data))


FAILURES = {
    "disk full": OSError(errno.ENOSPC, "No space left on device"),
    "no memory": MemoryError(),
    "input or output error": OSError(errno.EIO, "Input/output error"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_a_save_that_fails_warns_once_and_training_goes_on(failure, solver, tmp_path, monkeypatch):
    path, options = tmp_path / "model", {"solver": solver, "max_iter": 9, "random_state": 0, "tol": 1e-9}
    whole = quiet(fs.SoftmaxClassifier(**options), X, Y)
    stop_after(monkeypatch, 2)
    model = fs.SoftmaxClassifier(**options, checkpoint=path, checkpoint_every=2)
    with pytest.raises(Stopped):
        quiet(model, X, Y)
    monkeypatch.undo()
    before = path.read_bytes()

    def failing(*_):
        raise FAILURES[failure]

    monkeypatch.setattr(os, "fsync", failing)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, Y)
    (warning,) = [w for w in told if "the checkpoint was not written" in str(w.message)]
    assert warning.filename == __file__
    assert same_ends(model, whole)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert same_parameters(quiet(model, X, Y), whole)
    monkeypatch.undo()
    if solver == "sgd":
        assert same_ends(went_on(path), whole)


def test_classes_that_cannot_be_saved_stop_no_training(tmp_path):
    model = fs.SoftmaxClassifier(solver="adam", max_iter=30, checkpoint=tmp_path / "model", checkpoint_every=1)
    model.random_state = np.random.RandomState(0)
    quiet(model, X, Y)  # a generator is not in the file, and not needed to go on
    (tmp_path / "folder").mkdir()
    with pytest.warns(UserWarning, match="the checkpoint was not written, .*: .*not an ordinary file"):
        quiet(model.set_params(checkpoint=tmp_path / "folder"), X, Y)


# A process forks others that train without end, kills each after a moment, and compares what goes on from its file
KILLS = """
import os, signal, sys, time, warnings
import numpy as np
import fastsoftmax as fs
warnings.simplefilter("ignore")
data, path = np.load(sys.argv[1]), sys.argv[2]
X, Y = data["X"], data["Y"]
options = {"solver": "sgd", "tol": 0.0, "n_iter_no_change": 10**6, "hidden_layer_sizes": (9,), "early_stopping": True}
def trained(**more):
    return fs.SoftmaxClassifier(**options, random_state=0, **more).fit(X, Y)
trained(max_iter=2)
for delay in np.random.default_rng(0).uniform(0, 0.03, 20):
    child = os.fork()
    if child == 0:
        trained(max_iter=10**6, checkpoint=path, checkpoint_every=1)
        os._exit(1)
    while not os.path.exists(path):
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    resumed = fs.SoftmaxClassifier.load(path)
    n_epochs = resumed.n_iter_ + 3
    resumed.set_params(warm_start=True, max_iter=n_epochs).fit(X, Y)
    whole = trained(max_iter=n_epochs)
    assert resumed.loss_curve_ == whole.loss_curve_ and resumed.validation_scores_ == whole.validation_scores_
    assert (resumed.predict_proba(X) == whole.predict_proba(X)).all() and resumed.n_iter_ == n_epochs
    os.unlink(path)
print("end")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_kill_at_any_moment_leaves_a_file_to_go_on_from(tmp_path):
    np.savez(tmp_path / "data.npz", X=X, Y=Y)
    command = [sys.executable, "-c", KILLS, str(tmp_path / "data.npz"), str(tmp_path / "model")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is of Linux")
def test_a_disk_that_fills_up_in_the_middle_of_a_file(tmp_path):
    """A file may grow to so many bytes: the write that goes beyond is cut short, and the next one fails."""
    import resource

    path = tmp_path / "model"
    model = fs.SoftmaxClassifier(solver="sgd", max_iter=6, checkpoint=path, checkpoint_every=1, random_state=0)
    quiet(model, X, Y)
    before, (soft, hard) = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (0, 100, len(before) // 2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.warns(UserWarning, match="the checkpoint was not written") as told:
                quiet(model, X, Y)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(told) == 1
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_well_made_file_whose_training_cannot_be_gone_on_with(tmp_path, monkeypatch):
    """Kernels read the rows that it numbers."""
    path = tmp_path / "model"
    stop_after(monkeypatch, 1)
    with pytest.raises(Stopped):
        quiet(fs.SoftmaxClassifier(solver="sgd", early_stopping=True, checkpoint=path, checkpoint_every=1), X, Y)
    monkeypatch.undo()
    header, arrays = model_file.read(path)
    order = arrays["unfinished_order"]
    changes = {
        "unfinished_order": [order + 1, order[:-1], order.astype(float), np.zeros_like(order), order[None]],
        "unfinished_held": [order, arrays["unfinished_held"] - 1, order[:0]],
        "unfinished_best_params": [np.zeros(3), arrays["unfinished_best_params"].astype(np.float32)],
    }
    for name, others in changes.items():
        for other in others:
            model_file.write(path, header, {**arrays, name: other})
            with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier"):
                fs.SoftmaxClassifier.load(path)
    for change in ({"more": 1}, {"idle": None}):
        more = {**header["unfinished"], **change}
        some = {key: value for key, value in more.items() if value is not None}
        model_file.write(path, {**header, "unfinished": some}, arrays)
        with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier"):
            fs.SoftmaxClassifier.load(path)
    without = {name: array for name, array in arrays.items() if not name.startswith("descent")}
    assert len(without) < len(arrays)
    model_file.write(path, {name: value for name, value in header.items() if not name.startswith("descent")}, without)
    with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier"):
        fs.SoftmaxClassifier.load(path)


def test_parameters_are_read_and_survive_a_clone(tmp_path):
    model = fs.SoftmaxClassifier(checkpoint=tmp_path / "model", checkpoint_every=7)
    assert clone(model).get_params() == model.get_params()
    for bad, kind in ((3, TypeError), (b"model", TypeError)):
        with pytest.raises(kind, match="checkpoint must be a path or None, got"):
            fs.SoftmaxClassifier(checkpoint=bad).fit(X, Y)
    for bad in (0, -1):
        with pytest.raises(ValueError, match="checkpoint_every must be at least 1"):
            fs.SoftmaxClassifier(checkpoint_every=bad).fit(X, Y)
