"""The command line: what goes to stdout and to stderr, the exit status, and no traceback."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_iris

from fastsoftmax import __version__
from fastsoftmax.cli import compare_command
from fastsoftmax.cli import main as cli
from fastsoftmax.cli.arguments import DATA_SETS
from fastsoftmax.cli.compare import Result

KEYS = [
    "dataset", "backward", "n_samples", "n_features", "n_classes", "fit_seconds", "speedup", "accuracy", "loss",
    "max_abs_diff",
]  # fmt: skip
QUICK = ["--epochs", "2", "--repeats", "1"]


def run(capsys, *arguments):
    """Exit status, stdout and stderr."""
    try:
        status = cli.main(list(arguments))
    except SystemExit as stop:
        status = stop.code
    return status, *capsys.readouterr()


def test_json_is_all_of_stdout(capsys):
    status, out, err = run(capsys, "compare", "--dataset", "digits", "--json", "--repeats", "1")
    results = json.loads(out)
    assert status == 0
    assert [list(r) for r in results] == [KEYS] * 3
    assert [r["backward"] for r in results] == ["jacobian", "vjp", "fused"]
    assert all(r["accuracy"] > 0.93 for r in results)
    assert np.ptp([r["accuracy"] for r in results]) < 0.01
    assert max(r["max_abs_diff"] for r in results) < 1e-10
    assert "digits: machine code ready" in err


def test_the_table(capsys):
    status, out, err = run(capsys, "compare", "--dataset", "all", *QUICK)
    assert status == 0
    for word in (*DATA_SETS, "jacobian", "vjp", "fused", "speed-up", "accuracy", "max diff"):
        assert word in out
    assert out.endswith(f"\n\n{compare_command.LEGEND}\n")
    assert "iris: trained 1 times" in err
    assert "trained" not in out


def test_every_option(capsys):
    status, out, _ = run(
        capsys, "compare", "--dataset", "wine", "--hidden", "6,5", "--activation", "tanh", "--loss", "squared_error",
        "--alpha", "0.5", "--learning-rate", "0.1", "--batch-size", "16", "--seed", "3", "--dtype", "float32", *QUICK,
    )  # fmt: skip
    assert status == 0
    assert out.count("wine") == 3


def test_classes(capsys):
    status, out, _ = run(capsys, "compare", "--classes", "5,20", "--repeats", "1")
    assert status == 0
    for word in ("made-5", "made-20", "C = 20", "slope", "a fit", "a sample's way back"):
        assert word in out
    status, out, _ = run(capsys, "compare", "--classes", "5,20", "--repeats", "1", "--json")
    assert [r["n_classes"] for r in json.loads(out)] == [5] * 3 + [20] * 3
    status, out, _ = run(capsys, "compare", "--classes", "5", "--repeats", "1")
    assert status == 0
    assert "slope" not in out.split("C = 5", 1)[1]


def test_a_csv_file_of_the_users(capsys, tmp_path):
    X, y = load_iris(return_X_y=True)
    lines = ["kind,a,b,c,d", *(f"class {k},{','.join(map(str, x))}" for x, k in zip(X, y, strict=True))]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    status, out, _ = run(
        capsys, "compare", "--dataset", str(tmp_path / "mine.csv"), "--label", "kind", "--json", *QUICK
    )
    assert status == 0
    assert [(r["dataset"], r["n_samples"], r["n_classes"]) for r in json.loads(out)] == [("mine", 150, 3)] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,a\n3,b\n", "line 2 has 2 columns, the first has 3"),
        ("", "empty"),
        ("a,b,c\n1,2,x\n3,4,y\n", "no label column 'kind': line 1 has a, b, c"),
    ],
)
def test_data_that_cannot_be_used_is_one_line_and_status_3(capsys, tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    status, out, err = run(capsys, "compare", "--dataset", str(path), "--label", "kind" if "kind" in message else "0")
    assert (status, out) == (3, "")
    assert err == f"fastsoftmax: {path}: {message}\n"
    status, _, err = run(capsys, "compare", "--dataset", str(tmp_path / "none.npz"))
    assert (status, err.count("\n")) == (3, 1)


def test_a_training_that_fails_is_one_line_and_status_1(capsys):
    status, out, err = run(capsys, "compare", "--dataset", "iris", "--learning-rate", "1e308", *QUICK)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("fastsoftmax: the loss was not finite after 0 good iterations")
    assert err.splitlines()[-1].endswith("a smaller learning_rate_init")


@pytest.mark.parametrize(
    "arguments",
    [
        "", "frobnicate", "compare --dataset nothing", "compare --epochs 0", "compare --epochs x",
        "compare --classes 1,,2", "compare --classes 5,5", "compare --classes 5 --dataset iris",
        "compare --classes 100000", "compare --learning-rate 0", "compare --alpha -1", "compare --alpha many",
        "compare --loss hinge", "compare --seed -1", "compare --seed 4294967296", "compare --label a",
        "compare --dataset iris --label a", "explain --samples 0", "explain --nope",
    ],
)  # fmt: skip
def test_bad_usage_is_status_2(capsys, arguments):
    status, out, err = run(capsys, *arguments.split())
    assert (status, out) == (2, "")
    assert "usage: fastsoftmax" in err


def test_explain(capsys):
    status, out, err = run(capsys, "explain", "--samples", "3", "--features", "2", "--classes", "4", "--seed", "1")
    assert (status, err) == (0, "")
    assert out.startswith("Softmax regression on a batch of N = 3 samples with D = 2 features, C = 4 classes.")


def test_version_and_help(capsys):
    assert run(capsys, "--version")[:2] == (0, f"fastsoftmax {__version__}\n")
    assert run(capsys, "compare", "--help")[0] == 0
    status, out, _ = run(capsys, "--help")
    assert status == 0
    told = set(re.findall(r"\b\d+\b", out))
    known = {0, 2, cli.TRAINING_ERROR, cli.DATA_ERROR, cli.bench.REGRESSION, cli.INTERRUPTED}
    assert told == set(map(str, known))  # the statuses


def test_the_tables_fit_a_terminal_of_80_columns(capsys):
    """Of the longest names and numbers that the README has."""
    numbers = {"n_samples": 60000, "n_features": 784, "n_classes": 1000, "accuracy": 1.0, "loss": 10.8409}
    times = {"fit_seconds": 12.3456, "speedup": 303.4, "max_abs_diff": 2e-14}
    results = [Result("breast_cancer", way, **numbers, **times) for way in ("jacobian", "fused")]
    seconds = {"jacobian": [1e-3] * 3, "fused": [1e-6] * 3}
    console = Console(width=80, force_terminal=True, color_system=None)
    console.print(compare_command._result_table(results))
    console.print(compare_command._growth_table((10, 100, 1000), results * 3, seconds))
    out = capsys.readouterr().out
    for text in ("breast_cancer 60000x784x1000", "12.3 s", "303.4 x", "10.84", "2e-14", "1.0 ms", "1.0 us"):
        assert text in out
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines())
    assert len(out.strip().splitlines()) == 3 + 5
    assert "…" not in out
    assert all(len(line) <= 80 for line in compare_command.LEGEND.splitlines())


def test_the_epochs_and_batches_of_the_user_hold_with_classes(capsys):
    losses = set()
    for options in ("", "--epochs 3", "--batch-size 32"):
        _, out, _ = run(capsys, "compare", "--classes", "5", "--repeats", "1", "--json", *options.split())
        losses.add(json.loads(out)[0]["loss"])
    assert len(losses) == 3


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "fastsoftmax", "explain"], capture_output=True, text=True, check=True)
    assert "G^T X" in done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "fastsoftmax", "compare", "--dataset", "x"], capture_output=True, text=True
    )
    assert done.returncode == 2


CSV = "a,b,kind\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(40))
STRANGE = ["scores[final]", ":smile:", "[red]x", "[bold]", "müßig", "数据", "a\x1b[31mb", "[link=x]y"]


@pytest.mark.parametrize("name", STRANGE)
def test_names_of_files_are_shown_as_they_are(tmp_path, capsys, monkeypatch, name):
    """Neither markup nor emoji codes are read into them."""
    (tmp_path / f"{name}.csv").write_text(CSV)
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "compare", "--dataset", f"{name}.csv", *QUICK)
    assert status == 0
    shown = name.replace("\x1b", "\\x1b")  # but for what would command the terminal
    assert out.count(shown) == 3
    assert f"{shown}: trained" in err


def compared(folder, monkeypatch, name, encoding, *options):
    """Status, stdout and stderr (bytes) of the comparison on a file of that name, by streams of that encoding."""
    (folder / f"{name}.csv").write_text(CSV)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
    for stream, made in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, stream, made)
    status = cli.main(["compare", "--dataset", f"{name}.csv", *QUICK, *options])
    for made in streams:
        made.flush()
    return status, *(made.buffer.getvalue() for made in streams)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "latin-1"])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_characters_that_stdout_cannot_show_are_replaced(tmp_path, monkeypatch, encoding, options):
    """And no error when the work is done."""
    status, out, err = compared(tmp_path, monkeypatch, "müßig 数据", encoding, *options)
    assert status == 0, err
    assert b"Traceback" not in err
    if encoding == "utf-8" and not options:
        assert out.decode().count("müßig 数据") == 3
    else:
        assert b"ig " in out


no_text = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")


@no_text
def test_a_name_that_is_no_text(tmp_path, monkeypatch):
    status, out, err = compared(tmp_path, monkeypatch, os.fsdecode(b"caf\xe9"), "utf-8")
    assert (status, b"caf\\udce9" in out) == (0, True), err


@no_text
def test_a_name_that_is_no_text_and_a_stdout_that_shows_ascii_in_a_process_of_their_own(tmp_path):
    name = os.fsdecode("müßig caf".encode() + b"\xe9")
    (tmp_path / f"{name}.csv").write_text(CSV)
    settings = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "COLUMNS": "160"}
    command = [sys.executable, "-m", "fastsoftmax", "compare", "--dataset", f"{name}.csv", *QUICK]
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout.count(b"m\\xfc\\xdfig caf\\udce9") == 3


EACH = "import sys; from fastsoftmax.cli import main\nfor line in sys.stdin:\n"
EACH += "    try: print('status', main.main(line.split()))\n    except SystemExit as end: print('status', end.code)"


def test_without_docstrings_and_assertions():
    """By one process for all commands: without anything compiled so, it has to do it for NumPy and the others, too."""
    commands = ["--help", "compare --help", "explain", " ".join(("compare", *QUICK))]
    command, lines = [sys.executable, "-OO", "-c", EACH], "\n".join(commands)
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    help_of_all, help_of_one, explained, compared, end = done.stdout.split("status 0\n")
    assert help_of_all.startswith("usage: fastsoftmax")
    assert help_of_one.startswith("usage: fastsoftmax compare")
    assert explained.startswith("Softmax")
    assert "digits" in compared
    assert end == ""


def test_whether_line_1_has_names_can_be_said(tmp_path, capsys):
    path = tmp_path / "numbers.csv"
    path.write_text("3,2,1\n" + "".join(f"{n},{n % 2},{n % 3}\n" for n in range(40)))
    for options, n_samples in (((), 41), (("--header", "no"), 41), (("--header", "yes"), 40)):
        status, out, _ = run(capsys, "compare", "--dataset", str(path), "--json", *QUICK, *options)
        assert (status, json.loads(out)[0]["n_samples"]) == (0, n_samples)
    status, out, err = run(capsys, "compare", "--dataset", str(path), "--label", "2", *QUICK)
    assert (status, out) == (3, "")
    assert "Say which with --header yes or --header no" in err
    assert run(capsys, "compare", "--dataset", "iris", "--header", "yes")[0] == 2
