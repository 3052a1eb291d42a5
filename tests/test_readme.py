"""README's snippets run as printed, and its commands are those that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAIN = ("softmax", "softmax_vjp", "cross_entropy_value_and_grad")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)


@pytest.mark.parametrize(
    ("number", "printed"), list(enumerate(["71880 718800", "True", "True (26, 300)", "2.079442", "True True"]))
)
def test_a_snippet_runs_as_printed(number, printed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNIPPETS[number]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed
    assert len(SNIPPETS) == 5


def test_two_commands_do_all_the_set_up():
    """`.ci/run` takes both from here and runs them one after the other, as a newcomer does."""
    install_and_run, install_and_test, *_ = COMMANDS
    assert install_and_run.endswith("fastsoftmax compare --dataset digits")
    assert install_and_test.endswith("pytest --cov -n auto --dist worksteal")
    ci = (ROOT / ".ci" / "run").read_text()
    (loop,) = re.findall(r'for install in "(.*?)" "(.*?)"; do', ci)
    assert 'grep -F "$install" README.md' in ci
    for number, install in enumerate(loop):
        assert [install in line for line in README.splitlines()].count(True) == 1
        assert install in COMMANDS[number]


def test_the_options_it_names_exist(capsys):
    commands = ["train", "predict", "export", "compare", "bench", "explain", "warmup", "doctor", "completion"]
    named = re.findall(rf"[`\n](?:fastsoftmax )?({'|'.join(commands)})\b([^`#\n]*)", README)
    assert {command for command, _ in named} == set(commands)
    for command in {command for command, _ in named}:
        options = {option for name, text in named if name == command for option in re.findall(r"--[a-z-]+", text)}
        status, text, _ = run(capsys, command, "--help")
        assert status == 0
        assert all(option in text for option in options), command


def test_it_is_a_front_door():
    assert len(README.splitlines()) <= 180
    pictures = re.findall(r'<img src="([^"]*)"', README)
    assert len(pictures) == 3
    links = re.findall(r"\]\(([^)#]*)\)", README)
    assert all((ROOT / path).is_file() for path in [*pictures, *links])


def test_its_figures_are_those_of_the_results():
    """Each ratio of the table, AVX2 | AVX-512, in RESULTS' tables of one thread and float32 (the fit: float64)."""
    results = (ROOT / "bench" / "RESULTS.md").read_text()
    isa = [results.partition(head)[2].partition("\n## ")[0] for head in ("\n## AVX2", "\n## AVX-512\n")]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in README.splitlines() if re.match(r"\| [a-z]", line)]
    assert len(lines) == 8
    for what, shape, *cells in lines:
        ratios = [re.findall(r"[0-9.]+", cell) for cell in cells]
        rows = [re.search(rf"^\| {re.escape(shape.strip())} \| (.*) \|$", text, re.MULTILINE) for text in isa]
        found = [row[1].split(" | ") for row in rows]
        if "fit" in what:
            assert "| (1797, 64, 10) | " in results
            assert f"the same | {ratios[2][0]} \\| {ratios[2][1]} |" in results
        elif "layer" in what:
            assert [(row[0], row[1]) for row in found] == [("float32", "1")] * 2
            assert ratios == [list(pair) for pair in zip(*([row[k] for k in (3, 5, 6)] for row in found), strict=True)]
        else:
            first = 3 * MAIN.index(what.strip()) + 1
            pairs = [list(pair) for pair in zip(*(row[first : first + 2] for row in found), strict=True)]
            assert ratios[:2] == pairs
        for name in cells:  # what is lost is bold
            assert ("**" in name) == any(float(ratio) < 1 for ratio in re.findall(r"[0-9.]+", name))
