"""`fastsoftmax completion SHELL`: what the shell completes after TAB, written by shtab from the parser itself."""

import argparse
from typing import Any

from fastsoftmax.cli.errors import CommandError

SHELLS = ("bash", "zsh", "fish", "tcsh")
FILES = ("FILE", "DATA", "MODEL")  # what arguments that take the path of a file are called in --help


def add_to(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("completion", help="a script for your shell, which completes commands and options",
        description="Print a script for the shell. For bash: fastsoftmax completion bash > "
        "~/.local/share/bash-completion/completions/fastsoftmax")  # fmt: skip
    parser.add_argument("shell", choices=SHELLS)


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """For the shell to read."""
    try:
        import shtab
    except ImportError:
        raise CommandError("completion takes the package shtab: pip install shtab") from None
    if shell not in shtab.SUPPORTED_SHELLS:
        raise CommandError(f"shtab {shtab.__version__} knows no {shell}: {', '.join(shtab.SUPPORTED_SHELLS)}")
    for action in _all_actions(parser):
        if action.metavar in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    text: str = shtab.complete(parser, shell=shell)
    return text


def _all_actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    actions = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            actions += [inner for command in action.choices.values() for inner in _all_actions(command)]
    return actions
