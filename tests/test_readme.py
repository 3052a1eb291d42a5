"""README's snippets run as printed, and its commands are those that exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)


@pytest.mark.parametrize(
    ("number", "printed"), [(0, "True"), (1, "True (26, 300)"), (2, "2.079442"), (3, "True True\nTrue")]
)
def test_a_snippet_runs_as_printed(number, printed, tmp_path):
    done = subprocess.run([sys.executable, "-c", SNIPPETS[number]], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == printed
    assert len(SNIPPETS) == 4


def test_two_commands_do_all_the_set_up():
    """`.ci/run` takes both from here and runs them one after the other, as a newcomer does."""
    install_and_run, install_and_test, *_ = COMMANDS
    assert install_and_run.endswith("fastsoftmax compare --dataset digits")
    assert install_and_test.endswith("pytest --cov")
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text()
    (loop,) = re.findall(r'for install in "(.*?)" "(.*?)"; do', ci)
    assert 'grep -F "$install" README.md' in ci
    for number, install in enumerate(loop):
        assert [install in line for line in README.splitlines()].count(True) == 1
        assert install in COMMANDS[number]


def test_the_options_it_names_exist():
    named = {"compare": ("--dataset", "--classes", "--json", "--label", "--header"), "explain": ("--samples",)}
    named["warmup"] = ("--dtype", "--beside-package")
    for command, options in named.items():
        text = subprocess.run(
            [sys.executable, "-m", "fastsoftmax", command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(option in text for option in options)
