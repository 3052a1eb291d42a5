"""What commands print on a terminal, without one and without any output; real terminals are in test_cli_terminal.py."""

import io
import re
import subprocess
import sys

import pytest
from sklearn.datasets import load_iris
from test_cli import QUICK, run

import fastsoftmax as fs
from fastsoftmax.cli import main as cli
from fastsoftmax.cli.console import bar, new_table, print_table, progress


class Terminal(io.StringIO):
    """What is written to it is kept."""

    def isatty(self):
        return True


def terminal_for(monkeypatch):
    """A terminal as stderr, from now on."""
    made = Terminal()
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.mark.parametrize("total", [2, None])
def test_a_bar_has_its_note_and_its_steps_and_lines_stay_above_it(monkeypatch, total):
    terminal = terminal_for(monkeypatch)
    with bar("racing \x1b[31m", total) as told:
        told.line("a line [bold]\x1b[2J")
        told.note("softmax [1]")
        told.step()
    shown = terminal.getvalue()
    assert "racing \\x1b[31m" in shown
    assert "a line [bold]\\x1b[2J\n" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)
    assert "softmax [1]" in shown
    assert re.findall(r"\d/\w+", shown)[-1:] == ([] if total is None else ["1/2"])


def test_a_bar_elsewhere_is_lines(capsys):
    with bar("racing", 2) as told:
        told.note("softmax")
        told.step()
        told.line("torch takes no part")
    assert capsys.readouterr() == ("", "softmax\ntorch takes no part\n")


def test_without_stdout_and_stderr_nothing_is_printed(monkeypatch):
    """As in a process that was started without them, where both are None."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    table = new_table()
    table.add_column("a")
    print_table(table)
    progress("a line")
    with bar("racing") as told:
        told.note("softmax")


def test_an_interrupt_is_status_130(capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_explain", interrupted)
    assert run(capsys, "explain") == (130, "", "interrupted\n")


def test_no_memory_is_one_line_and_status_1(capsys, monkeypatch):
    def greedy(*sizes):
        raise MemoryError("Unable to allocate 1 TiB")

    monkeypatch.setattr("fastsoftmax.cli.explain.explain", greedy)
    assert run(capsys, "explain") == (1, "", "fastsoftmax: not enough memory: Unable to allocate 1 TiB\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [(BrokenPipeError(32, "Broken pipe"), ""), (OSError(28, "No space left"), "[Errno 28] No space left")],
)
@pytest.mark.parametrize("stdout", ["as it is", "none", "no file"])
def test_output_that_cannot_be_written_is_one_line_and_status_1(capfd, monkeypatch, error, told, stdout):
    def failing(arguments):
        raise error

    monkeypatch.setattr(cli, "_explain", failing)
    if stdout != "as it is":
        monkeypatch.setattr(sys, "stdout", None if stdout == "none" else io.StringIO())
    assert cli.main(["explain"]) == 1
    assert capfd.readouterr().err == (f"fastsoftmax: {told}\n" if told else "")


def test_without_stdout_it_is_no_error(monkeypatch, tmp_path):
    path = str(tmp_path / "m.npz")
    fs.SoftmaxClassifier().fit(load_iris().data, load_iris().target).save(path)
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["explain"]) == 0
    assert cli.main(["predict", path, "iris"]) == 0
    assert cli.main(["compare", "--dataset", "iris", *QUICK]) == 0


def test_a_reader_that_stops_reading_is_no_traceback():
    command = f"{sys.executable} -m fastsoftmax explain --samples 90 --features 30 --classes 20 | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize(
    ("arguments", "redirected", "status"),
    [("explain", "> /dev/full", 1), ("explain", ">&-", 0), ("compare --dataset iris", "> /dev/full", 1)],
)
def test_stdout_that_is_full_or_closed(arguments, redirected, status):
    """One line at the most, after the work is done."""
    command = f"{sys.executable} -m fastsoftmax {arguments} {redirected}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert ("No space left" in done.stderr) == (status == 1)
