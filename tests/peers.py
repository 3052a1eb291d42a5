"""Other libraries' own tests, of our functions: copies of their modules in which ours take the place of theirs."""

import importlib.util
import re
from collections.abc import Iterable
from contextlib import ExitStack
from fnmatch import fnmatchcase
from types import ModuleType
from typing import Any
from unittest import mock

import pytest


def module_copy(name: str, **ours: Any) -> ModuleType:
    """A copy of an installed test module, that has imported ours for what stands under these names ("a__b" is a.b)."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)
    spec = importlib.util.spec_from_file_location("peer_" + name.replace(".", "_"), found.origin)
    module = importlib.util.module_from_spec(spec)
    with ExitStack() as stack:
        for theirs, instead in ours.items():
            stack.enter_context(mock.patch(theirs.replace("__", "."), instead))
        spec.loader.exec_module(module)
    return module


def skip_what_does_not_apply(request: pytest.FixtureRequest, elsewhere: dict[str, str]) -> None:
    """Skip a test whose name is in the table, with the reason that stands there."""
    for pattern, reason in elsewhere.items():
        if fnmatchcase(request.node.originalname, pattern) or fnmatchcase(request.node.name, pattern):
            pytest.skip(reason)


def check_table(elsewhere: Iterable[str], names: Iterable[str]) -> None:
    """Each entry of a table is the beginning of a test's name."""
    names = list(names)
    for pattern in elsewhere:
        assert any(name.startswith(re.split("[*?]", pattern)[0]) for name in names), pattern
