"""The command line on a terminal: bars on stderr alone, colours unless NO_COLOR, an interrupt, completion."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_cli import run

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
import pty

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "100"}


def all_of(terminal):
    """What it has got until the other end is closed."""
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # Linux: the other end is closed
        pass
    os.close(terminal)
    return shown.decode()


@pytest.fixture
def on_a_terminal(capsys, monkeypatch, tmp_path):
    """A function of arguments: status, stdout, and what a terminal got as stderr."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        ours, theirs = pty.openpty()
        with ThreadPoolExecutor(1) as pool:
            shown = pool.submit(all_of, ours)
            with open(theirs, "w") as terminal, monkeypatch.context() as patch:
                patch.setattr(sys, "stderr", terminal)
                status, out, _ = run(capsys, *arguments)
            return status, out, shown.result()

    return called


def test_a_process_on_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fastsoftmax", "compare", "--dataset", "iris", "--epochs", "2", "--json"]
    environment = {**os.environ, **TERMINAL}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = all_of(ours)
    out, _ = process.communicate()
    assert process.returncode == 0, shown
    assert json.loads(out)
    assert "training" in shown
    assert COLOUR.search(shown)


TRAIN = ("train", "iris", "--model", "m.npz", "--solver", "sgd", "--json")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (TRAIN, "SoftmaxClassifier"),
        (("compare", "--dataset", "iris", "--epochs", "2", "--json"), "training"),
        (("bench", "--only", "softmax 1x10", "--json"), "softmax 1x10"),
        (("doctor", "--json"), "self-test: float64"),
    ],
)
def test_a_bar_goes_to_stderr_and_json_to_stdout(on_a_terminal, arguments, told):
    status, out, shown = on_a_terminal(*arguments)
    assert status == 0, shown
    assert json.loads(out)
    assert told in shown
    assert re.search(r"\d+/\d+", shown)
    assert COLOUR.search(shown)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (TRAIN, "SoftmaxClassifier"),
        (("compare", "--dataset", "iris", "--epochs", "2"), "training"),
        (("bench", "--only", "softmax 1x10"), "softmax 1x10"),
        (("doctor",), "self-test: float64"),
        (("train", "iris", "--model", "m.npz", "--l1-ratio", "2"), "usage"),
    ],
)
def test_no_color(on_a_terminal, monkeypatch, arguments, told):
    monkeypatch.setenv("NO_COLOR", "1")
    _, _, shown = on_a_terminal(*arguments)
    assert told in shown
    assert not COLOUR.search(shown)


def test_a_real_interrupt_is_status_130(tmp_path):
    command = [sys.executable, "-m", "fastsoftmax", "compare", "--classes", "300", "--repeats", "1000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "machine code ready" in line:
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
def test_completion(capsys, shell):
    shtab = pytest.importorskip("shtab", reason="shtab is not installed")
    if shell not in shtab.SUPPORTED_SHELLS:
        pytest.skip(f"this version of shtab knows no {shell}")
    status, out, err = run(capsys, "completion", shell)
    assert (status, err) == (0, "")
    assert "train" in out
    assert "newton-cholesky" in out


def test_completion_of_bash_works():
    pytest.importorskip("shtab", reason="shtab is not installed")
    program = (
        f"source <({sys.executable} -m fastsoftmax completion bash); COMP_WORDS=(fastsoftmax tra); COMP_CWORD=1; "
        "_shtab_fastsoftmax; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["train"], done.stderr


def test_completion_without_shtab(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, out, err = run(capsys, "completion", "bash")
    assert (status, out) == (1, "")
    assert err == "fastsoftmax: completion takes the package shtab: pip install shtab\n"


def test_completion_by_a_shtab_that_does_not_know_the_shell(capsys, monkeypatch):
    shtab = pytest.importorskip("shtab", reason="shtab is not installed")
    monkeypatch.setattr(shtab, "SUPPORTED_SHELLS", ["bash", "zsh"])
    status, out, err = run(capsys, "completion", "fish")
    assert (status, out) == (1, "")
    assert err == f"fastsoftmax: shtab {shtab.__version__} knows no fish: bash, zsh\n"
