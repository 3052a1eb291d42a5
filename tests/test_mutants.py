"""tests/mutants.py changes one thing at a time, and a changed function is the one that everybody holds."""

import ast
import functools

from mutants import mutants, pour

MODULE = """
'A module.'
LEAST: int = 2
def checked(name: str, value=0.5, /) -> float:
    'The value.'
    if value < LEAST or name in ('a', 'b'):
        raise ValueError(f'{name} is too small')
    return float(value)
"""


def test_one_thing_is_changed_at_a_time():
    tree = ast.parse(MODULE)
    before, found = ast.unparse(tree).split("\n"), []
    for line, _, _ in mutants(tree):
        found += [(line, changed) for changed in ast.unparse(tree).split("\n") if changed not in before]
    assert ast.unparse(tree).split("\n") == before
    assert found == [
        (3, "LEAST: int = 3"),
        (4, "def checked(name: str, value=1.5, /) -> float:"),
        (6, "    if not (value < LEAST or name in ('a', 'b')):"),
        (6, "    if value < LEAST and name in ('a', 'b'):"),
        (6, "    if value <= LEAST or name in ('a', 'b'):"),
        (6, "    if value < LEAST or name not in ('a', 'b'):"),
        (6, "    if value < LEAST or name in ('', 'b'):"),
        (6, "    if value < LEAST or name in ('a', ''):"),
        (7, "        raise ValueError(None)"),
        (7, "        raise ValueError(f'{name}is too small')"),
        (8, "    return None"),
        (8, "    return float(None)"),
    ]


def test_what_is_changed_is_what_everybody_holds():
    def one(value=1):
        return value

    def other(value=2):
        return -value

    class Here:
        number = 1

        @property
        def twice(self):
            return 2 * self.number

    class There:
        number = 5

        @property
        def twice(self):
            return 3 * self.number

    kept, here = functools.cache(one), Here()
    assert (kept(), here.twice) == (1, 2)
    pour(kept, functools.cache(other))
    pour(Here, There)
    assert (kept(), one(), here.twice) == (-2, -2, 15)
