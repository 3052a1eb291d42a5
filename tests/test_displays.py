"""LossCurveDisplay, ComparisonDisplay and --plot: what is drawn is what was measured, and told apart without colour."""

import json
import os
import sys

import forked
import numpy as np
import pytest
from helpers import quiet
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_cli import QUICK, run

import fastsoftmax as fs

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

X, Y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def closed():
    yield
    pyplot.close("all")


def looks(lines):
    return {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}


def test_a_loss_curve():
    options = {"solver": "adam", "early_stopping": True, "max_iter": 30, "n_iter_no_change": 30, "random_state": 0}
    model = quiet(fs.SoftmaxClassifier(**options), X, Y)
    display = fs.LossCurveDisplay.from_estimator(model, name="iris")
    training, held_out = display.lines_
    assert np.array_equal(training.get_ydata(), model.loss_curve_)
    assert np.array_equal(held_out.get_ydata(), model.validation_loss_curve_)
    assert list(training.get_xdata()) == list(range(1, 31))
    assert [line.get_label() for line in display.lines_] == ["iris, training", "iris, held out"]
    assert display.ax_.get_xlabel() == "epoch"
    assert all(len(set(column)) == 2 for column in zip(*looks(display.lines_), strict=True))
    assert display.figure_ is display.ax_.figure


def test_a_loss_curve_of_others_and_on_given_axes():
    axes = pyplot.figure().subplots()
    model = make_pipeline(StandardScaler(), fs.SoftmaxClassifier()).fit(X, Y)
    display = fs.LossCurveDisplay.from_estimator(model, ax=axes, color="black")
    assert display.ax_ is axes
    assert (display.lines_[0].get_color(), axes.get_xlabel()) == ("black", "iteration")
    theirs = quiet(MLPClassifier((3,), max_iter=20, random_state=0), X, Y)
    display = fs.LossCurveDisplay.from_estimator(theirs)
    assert np.array_equal(display.lines_[0].get_ydata(), theirs.loss_curve_)
    assert display.lines_[0].get_label() == "MLPClassifier, training"
    again = display.plot(name="once more")
    assert again is display
    assert again.lines_[0].get_label() == "once more, training"
    with pytest.raises(TypeError, match="estimator must have loss_curve_, and this LogisticRegression has none"):
        fs.LossCurveDisplay.from_estimator(quiet(LogisticRegression(), X, Y))
    with pytest.raises(ValueError, match="not fitted"):
        fs.LossCurveDisplay.from_estimator(fs.SoftmaxClassifier())


def test_a_comparison_of_an_estimator():
    model = fs.SoftmaxClassifier(solver="sgd", max_iter=3, random_state=0)
    display = fs.ComparisonDisplay.from_estimator(model, X, Y, repeats=1)
    assert list(display.seconds) == ["jacobian", "vjp", "fused"]
    assert display.names == ["150x4x3"]
    dots = [line for line in display.ax_.lines if line.get_label() in display.seconds]
    assert [line.get_xdata()[0] for line in dots] == [times[0] for times in display.seconds.values()]
    assert len({line.get_marker() for line in dots}) == 3
    told = display.seconds["jacobian"][0] / display.seconds["fused"][0]
    assert f"{told:.1f} x" in [text.get_text() for text in display.ax_.texts]
    assert not hasattr(model, "classes_")
    with pytest.raises(TypeError, match="estimator must have the parameter backward, got LogisticRegression"):
        fs.ComparisonDisplay.from_estimator(LogisticRegression(), X, Y)


def results(n_classes, shapes=((9, 2), (9, 2))):
    seconds = {"jacobian": 1.0, "fused": 0.1}
    return [
        {"dataset": f"{c}", "backward": way, "n_samples": n, "n_features": d, "n_classes": c, "fit_seconds": t * c**2}
        for c, (n, d) in zip(n_classes, shapes, strict=True)
        for way, t in seconds.items()
    ]


def test_a_comparison_by_the_number_of_classes():
    display = fs.ComparisonDisplay.from_results(results([10, 100]))
    labels = [line.get_label() for line in display.ax_.lines]
    assert labels == ["jacobian: C to the 2.0 at the end", "fused: C to the 2.0 at the end"]
    assert np.allclose(display.ax_.lines[0].get_ydata(), [1e2, 1e4])
    assert all(len(set(column)) == 2 for column in zip(*looks(display.ax_.lines), strict=True))
    other = fs.ComparisonDisplay.from_results(results([3, 10], ((150, 4), (1797, 64))))  # data sets of other shapes
    assert other.n_classes is None
    assert [text.get_text() for text in other.ax_.get_yticklabels()] == ["3", "10"]


def test_plots_of_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "compare", "--classes", "3,5", "--repeats", "1", "--plot", "growth.svg")[0] == 0
    assert run(capsys, "compare", "--dataset", "all", *QUICK, "--plot", "all.png", "--json")[0] == 0
    status, out, _ = run(capsys, "train", "iris", "--model", "m.npz", "--plot", "loss.pdf", "--json")
    assert (status, json.loads(out)["n_test"]) == (0, 37)
    starts = {path.name: path.read_bytes()[:5] for path in tmp_path.iterdir() if path.suffix != ".npz"}
    assert starts == {"growth.svg": b"<?xml", "all.png": b"\x89PNG\r", "loss.pdf": b"%PDF-"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("compare --plot x.gif", 2, "'x.gif' ends in none of .png, .svg, .pdf"),
        ("compare --plot no/x.svg", 2, "--plot no/x.svg: there is no folder"),
        ("train iris --model m.npz --plot x", 2, "'x' ends in none of"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_told_before_the_work(
    capsys, tmp_path, monkeypatch, arguments, status, message
):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, *arguments.split())
    assert (found, out, list(tmp_path.iterdir())) == (status, "", [])
    assert message in err


def test_without_matplotlib(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "train", "iris", "--model", "m.npz", "--plot", "x.svg")
    assert (status, out, list(tmp_path.iterdir())) == (1, "", [])
    assert err == "fastsoftmax: --plot takes the package matplotlib: pip install matplotlib\n"
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        fs.LossCurveDisplay(loss_curve=[1.0]).plot()


def test_matplotlib_is_imported_only_to_draw(tmp_path):
    code = "import sys, fastsoftmax as fs; d = fs.LossCurveDisplay(loss_curve=[2.0, 1.0]); fs.ComparisonDisplay; "
    code += "print('matplotlib' in sys.modules); d.plot(); print('matplotlib' in sys.modules)"
    done = forked.run(code, dict(os.environ), tmp_path)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_a_loss_that_falls_far_is_drawn_with_a_logarithmic_axis():
    for curve, scale in (([9.0, 1.0, 0.1], "log"), ([1.0, 0.9, 0.8], "linear"), ([9.0, 1.0, 0.0], "linear")):
        display = fs.LossCurveDisplay(loss_curve=np.array(curve)).plot()
        assert display.ax_.get_yscale() == scale


def test_one_number_of_classes_has_no_slope():
    display = fs.ComparisonDisplay(
        names=["made-5"], seconds={"jacobian": [2e-3], "fused": [1e-3]}, n_classes=[5]
    ).plot()
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["jacobian", "fused"]
    assert [line.get_ydata()[0] for line in display.ax_.lines] == [2e-3, 1e-3]
