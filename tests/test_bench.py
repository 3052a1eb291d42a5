"""fastsoftmax bench: what is raced, what is kept, and when a case counts as slower."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

from fastsoftmax.cli import bench
from fastsoftmax.cli.races import rows, suite, turns
from fastsoftmax.cli.races.saved import compared, read_saved

ONE = ("bench", "--only", "softmax 1x10")


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(turns, "ROUNDS", 3)
    monkeypatch.setattr(turns, "TURN", 1e-4)
    monkeypatch.setattr(turns, "PAUSE", 0.0)
    monkeypatch.setattr(rows, "installed", lambda: ["numpy", "scipy", "sklearn", "fastsoftmax"])
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # under which pytest-benchmark times nothing


@pytest.fixture
def saved(capsys, tmp_path):
    """A run of one case, and a function that changes its medians."""
    path = tmp_path / "run.json"
    assert run(capsys, *ONE, "--save", str(path))[0] == 0

    def change(**factors):
        content = json.loads(path.read_text())
        for name, factor in factors.items():
            content["benchmarks"][0]["extra_info"]["medians"][name] *= factor
        (tmp_path / "changed.json").write_text(json.dumps(content))
        return str(tmp_path / "changed.json")

    return change


def test_the_table(capsys):
    cases = [f"{name} 1797x10" for name in ("softmax", "softmax_vjp", "cross_entropy_value_and_grad")]
    status, out, err = run(capsys, "bench", "--only", "1797x10")
    assert (status, err.splitlines()) == (0, cases)
    for text in (" code, commit ", "numpy 2", "softmax, float32, 1 thread: how many times", "shape", "ours", "1797x10"):
        assert text in out


def test_json_is_what_report_reads(capsys, tmp_path, report):
    status, out, _ = run(capsys, *ONE, "--json")
    (entry,) = json.loads(out)["benchmarks"]
    info = entry["extra_info"]
    assert status == 0
    assert (info["operation"], info["shape"], info["dtype"], info["threads"]) == ("softmax", [1, 10], "float32", 1)
    assert set(info["medians"]) == {"numpy", "scipy", "sklearn", "fastsoftmax"}
    assert info["versions"]["numpy"] == np.__version__
    (tmp_path / "run.json").write_text(out)
    told = report(str(tmp_path / "run.json"))
    assert f"numpy {np.__version__}" in told
    assert "| (1, 10) |" in told
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    assert report(str(tmp_path / "run.json"), "--plots", str(tmp_path / "plots")) == told
    assert len(list((tmp_path / "plots").glob("*.png"))) == 3


def test_a_layer_is_raced(monkeypatch):
    monkeypatch.setattr("fastsoftmax.cli.races.layers.find_spec", lambda name: None)
    case = suite.layers.LinearCase("linear_cross_entropy", (50, 6, 3))
    found = suite.race(case, 1)
    assert set(found.medians) == {"sklearn", "fastsoftmax"}
    assert found.flops == 4 * 50 * 6 * 3


def test_a_wrong_answer_takes_no_part_unless_it_is_ours(monkeypatch):
    case = suite.CASES[0]
    wrong = lambda case, threads: lambda: np.full(case.shape, 0.1, case.dtype)  # noqa: E731
    monkeypatch.setitem(rows.PROVIDERS, "scipy", wrong)
    found = suite.race(case, 1)
    assert "scipy" not in found.medians
    assert found.left_out["scipy"].startswith("AssertionError: off by ")
    monkeypatch.setitem(rows.PROVIDERS, "fastsoftmax", wrong)
    with pytest.raises(AssertionError, match=r"softmax \(1, 10\): off by"):
        suite.race(case, 1)


@pytest.mark.parametrize(
    ("factors", "status"),
    [({}, 0), ({"fastsoftmax": 0.01}, 4), ({"fastsoftmax": 0.01, "numpy": 0.01, "scipy": 0.01, "sklearn": 0.01}, 0)],
)
def test_what_has_become_slower_beside_the_others_is_status_4(capsys, saved, factors, status):
    """A machine that has become slower as a whole is none of it."""
    options = (*ONE, "--compare", saved(**factors), "--fail-above", "900")
    found, out, err = run(capsys, *options)
    assert found == status, out
    assert "beside the saved run" in out
    assert ("slower" in out) == ("measured once more" in err) == (status == 4)
    assert ("1 of 1 cases take over 900 % longer than before" in err) == (status == 4)
    assert run(capsys, *ONE, "--compare", saved(**factors))[0] == 0  # no limit, no failure
    change = json.loads(run(capsys, *options, "--json")[1])["changes"][0]
    assert (change["percent"] > 900) == (status == 4)


def test_what_is_slower_once_and_not_again_is_no_regression(capsys, saved, monkeypatch):
    path, original, calls = saved(), suite.race, []

    def disturbed(case, threads):
        found = original(case, threads)
        calls.append(case)
        medians = {**found.medians, "fastsoftmax": found.medians["fastsoftmax"] * (100 if len(calls) == 1 else 1)}
        return replace(found, medians=medians)

    monkeypatch.setattr(suite, "race", disturbed)
    status, out, err = run(capsys, *ONE, "--compare", path, "--fail-above", "900")
    assert (status, len(calls)) == (0, 2), out
    assert "measured once more" in err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are given by Linux")
def test_a_run_is_held_to_its_cores_and_leaves_them(monkeypatch):
    before = os.sched_getaffinity(0)
    with turns.same_threads(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_a_change_is_taken_relative_to_the_others(saved):
    (before,), (now,) = (read_saved(saved(**factors)) for factors in ({"numpy": 1}, {"fastsoftmax": 3, "numpy": 8}))
    (change,) = compared([before], [now])
    assert (change.drift, round(change.percent)) == (1, 200)  # the median of 1, 1, 8
    (now,) = read_saved(saved(fastsoftmax=3, numpy=2, scipy=2, sklearn=2))
    assert round(compared([before], [now])[0].percent) == 50
    assert compared([before], []) == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("--only nothing", 2, "--only nothing: no case has that in its name: softmax 1x10"),
        ("--fail-above 5", 2, "--fail-above goes with --compare FILE"),
        ("--threads 0", 2, "'0' is not a whole number from 1"),
        ("--save no/x.json", 2, "--save no/x.json: there is no folder"),
        ("--plot x.bmp", 2, "'x.bmp' ends in none of .png, .svg, .pdf"),
        ("--compare none.json", 3, "none.json: No such file"),
        ("--compare odd.json", 3, "odd.json: not a run that `fastsoftmax bench --save` has written"),
        ("--compare list.json", 3, "list.json: not a run"),
        ("--compare empty.json", 3, "empty.json: no races in it"),
        ("--compare other.json --only vjp", 3, "other.json: none of these cases"),
    ],
)
def test_bad_usage_and_bad_files(capsys, tmp_path, monkeypatch, saved, arguments, status, message):
    other = saved()
    monkeypatch.chdir(tmp_path)
    Path(other).rename("other.json")
    (tmp_path / "odd.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "empty.json").write_text('{"benchmarks": []}')
    capsys.readouterr()
    found, out, err = run(capsys, "bench", *arguments.split())
    assert (found, out) == (status, "")
    assert message in err


def test_the_full_suites_are_a_checkouts(capsys, monkeypatch):
    monkeypatch.setattr(bench, "_suites", lambda: None)
    status, out, err = run(capsys, "bench", "--full")
    assert (status, out) == (2, "")
    assert "which a checkout has and an installed package has not" in err


def test_the_full_suites_run(capfd, tmp_path):
    """One of their cases."""
    path = tmp_path / "run.json"
    only = "bench_rows and logsumexp and 1x10-float32"
    status, out, err = run(capfd, "bench", "--full", "--only", only, "--save", str(path))
    assert status == 0, err
    assert "logsumexp, float32, 1 thread" in out
    assert "passed" not in out
    assert "1 passed" in err  # what pytest tells is no result
    assert [race.operation for race in read_saved(path)] == ["logsumexp"]


def test_full_suites_without_such_a_case(capfd, tmp_path):
    status, out, err = run(capfd, "bench", "--full", "--only", "no_such_case", "--save", str(tmp_path / "run.json"))
    assert (status, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("error: --only no_such_case: pytest -k finds no such case in the suites")


def test_an_interrupt_of_the_full_suites_leaves_nothing(capsys, tmp_path, monkeypatch):
    def interrupted(*_, **options):
        assert list(tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(bench.subprocess, "run", interrupted)
    assert run(capsys, "bench", "--full")[:2] == (130, "")
    assert list(tmp_path.iterdir()) == []


def test_full_suites_that_fail_are_one_more_line_and_status_1(capfd, monkeypatch):
    monkeypatch.setattr(bench.sys, "executable", "false")
    status, out, err = run(capfd, "bench", "--full")
    assert (status, out) == (1, "")
    last = "fastsoftmax: the suites ended with status 1: they need pip install -e '.[bench]'"
    assert err.splitlines()[-1] == last


def test_who_takes_no_part_is_told(capsys, monkeypatch):
    wrong = lambda case, threads: lambda: np.full(case.shape, 0.1, case.dtype)  # noqa: E731
    monkeypatch.setitem(rows.PROVIDERS, "scipy", wrong)
    status, out, err = run(capsys, *ONE)
    assert status == 0
    assert "softmax 1x10: scipy takes no part: AssertionError: off by " in err
    assert "scipy" not in out.split("how many times")[1]


def test_a_run_that_cannot_be_saved_is_one_line_and_status_1(capsys, tmp_path, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastsoftmax._files.replacing", full)
    for option in ("--save", "--plot"):
        path = tmp_path / "run.svg"
        status, out, err = run(capsys, *ONE, option, str(path))
        assert (status, out) == (1, "")
        assert err.splitlines()[-1] == f"fastsoftmax: {path}: No space left on device"


def test_a_picture_without_matplotlib_is_one_line_and_status_1(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, out, err = run(capsys, *ONE, "--plot", str(tmp_path / "run.svg"))
    assert (status, out) == (1, "")
    assert err == "fastsoftmax: --plot takes the package matplotlib: pip install matplotlib\n"


def test_a_picture(capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    for name in ("run.svg", "run.png"):
        assert run(capsys, *ONE, "--plot", str(tmp_path / name))[0] == 0
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "run.svg").read_text()
