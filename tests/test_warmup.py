"""What warm-up calls: every public function, and both kinds of each option; and the command."""

import contextlib
import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import FLOATS
from test_cli import run

import fastsoftmax
from fastsoftmax import functional
from fastsoftmax.cli import warmup


def calls_for(dtype):
    return [call for kind in warmup.CALLS[1:] for call in kind(dtype)]


def test_every_public_function_is_called_in_its_dtype():
    for dtype in FLOATS:
        calls = calls_for(dtype)
        names = {call.func.__name__ for call in calls}
        assert names == set(functional.__all__) - {"LinearGrads", "softmax_vjp"}  # the same kernel as softmax_jvp
        assert all(call.args[0].dtype == dtype for call in calls)


def test_options_are_given_and_left_out():
    calls = calls_for(np.float32)
    for function, option in (
        ("softmax", "where"),
        ("logsumexp", "where"),
        ("cross_entropy", "sample_weight"),
        ("squared_error_value_and_grad", "class_weight"),
    ):
        given = [call.keywords.get(option) is not None for call in calls if call.func.__name__ == function]
        assert {True, False} == set(given)
    axes = {call.args[1] for call in calls if call.func.__name__ == "log_softmax" and len(call.args) > 1}
    assert axes == {-1, 1}


def test_training_is_called_with_every_kind_of_data():
    assert warmup.CALLS[0] is warmup._training_calls
    assert warmup.KINDS.keys() == {calls.__name__ for calls in warmup.CALLS}
    calls = list(warmup._training_calls(np.float32))
    kinds = {(id(X), targets.ndim, loss, len(hidden)) for X, targets, loss, hidden in (c.args for c in calls)}
    assert len(kinds) == len(calls) == 24
    assert all(call.args[0].dtype == np.float32 for call in calls)
    for number in (0, 1, 8, 16):  # what they call can be called: features that go together, a network, others, CSR
        calls[number]()
    assert not isinstance(calls[16].args[0], np.ndarray)


made = []


def calls_that_kill_a_helping_process(dtype):
    yield lambda: os._exit(1) if multiprocessing.parent_process() else made.append(dtype)


def calls_that_fail(dtype):
    yield lambda: 1 / 0


def no_calls(dtype):
    return iter(())


def calls_that_are_noted(dtype):
    yield lambda: made.append(dtype)


def no_semaphores_in_python(*_):
    raise NotImplementedError


def no_semaphores_left(*_):
    raise OSError


class NoProcesses(warmup.ProcessPoolExecutor):
    def submit(self, *_):
        raise OSError("no more processes")


EXECUTORS = [no_semaphores_in_python, no_semaphores_left, NoProcesses, warmup.ProcessPoolExecutor]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_where_processes_cannot_do_it_this_one_does(monkeypatch, executor):
    made.clear()
    told = []
    monkeypatch.setattr(warmup, "ProcessPoolExecutor", executor)
    monkeypatch.setattr(warmup, "CALLS", (calls_that_kill_a_helping_process,))
    warmup.warm_up(FLOATS, lambda *line: told.append(line[1:]), jobs=2)
    assert made == list(FLOATS)
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize("jobs", [1, 2, 3, 5, 40])
def test_each_kind_of_call_and_dtype_is_dealt_out_once(jobs):
    dealt = warmup._dealt(FLOATS, jobs)
    parts = [part for parts in dealt for part in parts]
    assert sorted(parts, key=repr) == sorted(itertools.product(warmup.CALLS, FLOATS), key=repr)
    assert len(dealt) == min(jobs, len(parts))
    if jobs > 1:
        assert all(len({dtype for _, dtype in parts}) == 1 for parts in dealt)  # what is inlined depends on it


def test_dtypes_come_in_opposite_orders_so_that_kernels_of_both_are_compiled_once():
    one, other = ([calls for calls, _ in parts] for parts in warmup._dealt(FLOATS, 2))
    assert one == list(warmup.CALLS) == other[::-1]


def test_processes_do_the_work_and_not_this_one(monkeypatch):
    made.clear()
    told = []
    monkeypatch.setattr(warmup, "CALLS", (calls_that_are_noted,))
    warmup.warm_up(FLOATS, lambda *line: told.append(line[1:]), jobs=2)
    assert (told, made) == ([(1, 2), (2, 2)], [])


def test_what_goes_wrong_in_a_call_or_in_the_telling_is_no_want_of_processes(monkeypatch):
    told = []

    def closed(*line):
        told.append(line)
        raise BrokenPipeError

    monkeypatch.setattr(warmup, "CALLS", (calls_that_fail,))
    with pytest.raises(ZeroDivisionError):
        warmup.warm_up(FLOATS, lambda *_: None, jobs=2)
    monkeypatch.setattr(warmup, "CALLS", (no_calls,))
    with pytest.raises(BrokenPipeError):
        warmup.warm_up(FLOATS, closed, jobs=2)
    assert len(told) == 1  # and nothing begins anew


def test_warmup_says_how_long_and_how_large(tmp_path):
    """In a process of its own, because machine code is kept where NUMBA_CACHE_DIR says at the start.

    Without the linear layer and training, which take minutes; that they are called is tested above.
    """
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    program = "from fastsoftmax.cli import main as cli, warmup; warmup.CALLS = warmup.CALLS[2:]; cli.main()"
    command = [sys.executable, "-c", program, "warmup", "--dtype", "float32", "--jobs", "2"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, folder = done.stdout.splitlines()
    n_files = len(list(tmp_path.rglob("*.nbc")))
    assert f": {n_files} files, " in first
    assert n_files > 50
    assert str(tmp_path) in folder
    assert "3 of 3 ready: " in done.stderr
    code = (
        "import numpy as np, fastsoftmax as fs; from fastsoftmax.kernels import softmax_rows; "
        "from fastsoftmax.kernels.rows import direct; "
        "fs.softmax(np.ones((2, 3), 'f4')); fs.softmax(np.ones((2, 2, 3), 'f4'), temperature=2.0); "
        "fs.cross_entropy(np.ones((2, 3), 'f4'), np.full((2, 3), 0.3), sample_weight=[1, 2]); "
        "print(len(list(__import__('pathlib').Path(sys.argv[1]).rglob('*.nbc'))))"
    )
    again = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}", str(tmp_path)], env=settings, capture_output=True
    )
    assert int(again.stdout) == n_files  # nothing was left to compile


SLOW = """
import os, sys, time
from fastsoftmax.cli import main, warmup

def slow(dtype):
    yield lambda: (os.write(2, b"begun\\n"), time.sleep(120))  # a line at once: two processes write

if __name__ == "__main__":
    warmup.CALLS = (slow,)
    sys.exit(main.main(["warmup", "--jobs", "2"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has no groups of processes like these")
@pytest.mark.parametrize("to_all", [True, False], ids=["Ctrl-C", "kill -INT of one"])
def test_an_interrupt_ends_all_processes_at_once(tmp_path, to_all):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "slow.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert [process.stderr.readline() for _ in range(2)] == ["begun\n"] * 2
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)  # which ends when nobody has stderr any more
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, err) == (130, "interrupted\n")


def nothing_to_compile(dtype):
    return iter([lambda: None])


def test_warmup_tells_what_is_ready_and_where_it_is(capsys, monkeypatch):
    monkeypatch.setattr(warmup, "CALLS", (nothing_to_compile,))
    status, out, err = run(capsys, "warmup", "--jobs", "1", "--json")
    told = json.loads(out)
    assert (status, list(told)) == (0, ["seconds", "folder", "n_files", "n_bytes"])
    assert [line.split(" ready")[0] for line in err.splitlines()] == ["1 of 2", "2 of 2"]
    status, out, _ = run(capsys, "warmup", "--jobs", "1", "--dtype", "float64")
    assert status == 0
    assert re.fullmatch(r"everything is ready after \d+\.\d s: \d+ files, \d+\.\d MB\n(.*)\n", out)[1] == told["folder"]


@pytest.mark.parametrize(
    ("options", "place"), [((), "set NUMBA_CACHE_DIR"), (("--beside-package",), "machine-code cannot be written")]
)
def test_warmup_without_a_place_to_keep_it_is_status_1(capsys, monkeypatch, options, place):
    nowhere = warmup.WarmupReport(0.5, None, 0, 0)
    monkeypatch.setattr(warmup, "warm_up", lambda *_: nowhere)
    status, out, _ = run(capsys, "warmup", *options)
    assert status == 1
    assert out.startswith("everything is compiled after 0.5 s, but there is no place to keep it: ")
    assert out.endswith(f"{place}\n")
    status, out, _ = run(capsys, "warmup", "--json", *options)
    assert (status, json.loads(out)["folder"]) == (1, None)


@pytest.mark.parametrize("can_write", [True, False])
def test_warmup_beside_the_package(tmp_path, can_write):
    """In a process of its own, with a copy of the package, and with few calls."""
    shutil.copytree(
        os.path.dirname(fastsoftmax.__file__), tmp_path / "fastsoftmax", ignore=shutil.ignore_patterns("*.pyc")
    )
    beside = tmp_path / "fastsoftmax-machine-code"
    if not can_write:
        beside.write_text("")  # which stops even root
    program = (
        "from fastsoftmax import kernels; from fastsoftmax.cli import main as cli, warmup; import numpy as np, sys; "
        "warmup.CALLS = (lambda dtype: iter([lambda: kernels.activate(np.zeros((1, 1)), 1)]),); sys.exit(cli.main())"
    )
    command = [sys.executable, "-c", program, "warmup", "--beside-package", "--dtype", "float64", "--jobs", "1"]
    settings = {**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (0 if can_write else 1), done.stderr
    assert str(beside) in done.stdout
    assert ("cannot be written" in done.stdout) != can_write
    assert not (tmp_path / "cache").exists()
    if can_write:
        assert list(beside.rglob("activate-*.nbc"))


def test_float16_is_warmed_up_with_float32_in_which_it_is_computed():
    for calls in (warmup._map_calls, warmup._product_calls):
        halves = {dtype: [call for call in calls(dtype) if call.args[0].dtype == np.float16] for dtype in warmup.DTYPES}
        assert [len(halves[dtype]) for dtype in ("float32", "float64")] == [1, 0]
        assert halves["float32"][0]().dtype == np.float16
