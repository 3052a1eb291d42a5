"""The cache of machine code: filled once and used, never stale, and never in the way."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import JIT
from numba.core.caching import NullCache

import fastsoftmax
from fastsoftmax.kernels import vecmath
from fastsoftmax.kernels._jit import kernel

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT there is no machine code to keep")

FIRST_CALL = """
BEFORE
import numpy as np, fastsoftmax as fs
from fastsoftmax import kernels
BETWEEN
print(fs.softmax(np.array([[0.0, 1.0]]))[0, 1])
stats = kernels.direct.softmax.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that tests may change, with no machine code in it."""
    source = Path(fastsoftmax.__file__).parent
    shutil.copytree(source, tmp_path / "fastsoftmax", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def first_call(copy, before="", between="", **environment):
    """probability, cache hits and misses of a softmax in a new process that imports the copy."""
    code = FIRST_CALL.replace("BEFORE", before).replace("BETWEEN", between)
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV"))}
    settings |= {
        "PYTHONPATH": str(copy),
        "HOME": str(copy / "home"),
        "XDG_CACHE_HOME": str(copy / "home"),
    } | environment
    done = subprocess.run([sys.executable, "-c", code], env=settings, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    probability, counts = done.stdout.splitlines()
    hits, misses = counts.split()
    return float(probability), int(hits), int(misses)


def files_of(folder):
    return sorted(folder.rglob("*.nbc"))


RIGHT = pytest.approx(np.e / (1 + np.e))


def test_a_second_process_compiles_nothing(copy):
    assert first_call(copy) == (RIGHT, 0, 1)
    assert files_of(copy / "fastsoftmax" / "kernels" / "__pycache__")
    assert first_call(copy) == (RIGHT, 1, 0)


@pytest.mark.parametrize("file", ["vecmath.py", "columns.py"])
def test_a_changed_callee_is_never_run_stale(copy, file):
    """Exp is inlined into the machine code of softmax_rows, which stands in another file."""
    assert first_call(copy) == (RIGHT, 0, 1)
    path = copy / "fastsoftmax" / "kernels" / file
    before = path.stat()
    text = path.read_text()
    if file == "vecmath.py":
        changed = text.replace("_LOWEST_64), 0.0, y)", "_LOWEST_64), 0.0, n)")
    else:
        changed = text.replace("splat(x, 1) / total", "splat(x, 3) / total")
    assert len(changed) == len(text)
    assert changed != text
    path.write_text(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size and time: only the text tells
    for compiled in (copy / "fastsoftmax" / "kernels" / "__pycache__").glob("*.pyc"):
        compiled.unlink()  # Python itself goes by size and time
    probability, hits, misses = first_call(copy)
    assert probability != RIGHT
    assert (hits, misses) == (0, 1)
    path.write_text(text)
    for compiled in (copy / "fastsoftmax" / "kernels" / "__pycache__").glob("*.pyc"):
        compiled.unlink()
    assert first_call(copy)[0] == RIGHT


def test_a_source_that_changes_under_a_running_process_leaves_no_stale_code(copy):
    """What is compiled is the text at import; it must not be kept under the name of the text at the call."""
    path = copy / "fastsoftmax" / "kernels" / "columns.py"
    text = path.read_text()
    old, new = "splat(x, 1) / total", "splat(x, 3) / total"
    change = f"open({str(path)!r}, 'w').write({text!r}.replace({old!r}, {new!r}))"
    assert first_call(copy, between=change) == (RIGHT, 0, 1)
    probability, hits, misses = first_call(copy)
    assert probability != RIGHT
    assert (hits, misses) == (0, 1)


def test_other_versions_ask_for_other_code_and_leave_ours(copy):
    assert first_call(copy) == (RIGHT, 0, 1)
    for change in ("numba.__version__ = '0'", "llvmlite.__version__ = '0'", "sys.version = '0'"):
        before = f"import sys, numba, llvmlite; {change}"
        assert first_call(copy, before=before) == (RIGHT, 0, 1)
        assert first_call(copy, before=before) == (RIGHT, 1, 0)
    assert first_call(copy) == (RIGHT, 1, 0)


def test_functions_of_other_files_are_not_kept():
    """The name of a file of machine code tells the text of the kernels only."""
    assert type(kernel(lambda x: x)._cache) is NullCache
    assert type(vecmath.sum_row._cache) is not NullCache


def test_machine_code_of_old_sources_is_swept_away(copy):
    first_call(copy)
    old = files_of(copy)
    with (copy / "fastsoftmax" / "kernels" / "dense.py").open("a") as file:
        file.write("# changed\n")
    first_call(copy)
    assert len(files_of(copy)) == len(old)
    assert not set(files_of(copy)) & set(old)


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "other"])
def test_a_damaged_file_is_compiled_again(copy, damage):
    first_call(copy)
    for path in files_of(copy):
        content = path.read_bytes()
        path.write_bytes(
            {
                "truncated": content[: len(content) // 2],
                "empty": b"",
                "flipped": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
                "other": b"something else entirely" * 10,
            }[damage]
        )
    assert first_call(copy) == (RIGHT, 0, 1)
    assert first_call(copy) == (RIGHT, 1, 0)  # and mended


def test_a_place_that_cannot_be_written_does_not_stop_a_call(copy):
    """Files where the folders should be: that stops even root."""
    (copy / "home").write_text("")
    cache = copy / "fastsoftmax" / "kernels" / "__pycache__"
    cache.write_text("")
    assert first_call(copy, PYTHONDONTWRITEBYTECODE="1") == (RIGHT, 0, 1)
    assert first_call(copy, NUMBA_CACHE_DIR=str(copy / "home" / "deeper")) == (RIGHT, 0, 1)


def test_the_users_cache_serves_where_the_package_cannot_be_written(copy):
    (copy / "fastsoftmax" / "kernels" / "__pycache__").write_text("")
    assert first_call(copy, PYTHONDONTWRITEBYTECODE="1") == (RIGHT, 0, 1)
    assert files_of(copy / "home")
    assert first_call(copy, PYTHONDONTWRITEBYTECODE="1") == (RIGHT, 1, 0)


def test_numba_cache_dir_is_used(copy):
    place = copy / "elsewhere"
    assert first_call(copy, NUMBA_CACHE_DIR=str(place)) == (RIGHT, 0, 1)
    assert files_of(place)
    assert not files_of(copy / "fastsoftmax")
    assert first_call(copy, NUMBA_CACHE_DIR=str(place)) == (RIGHT, 1, 0)


def test_another_cpu_or_setting_asks_for_other_code(copy):
    first_call(copy)
    for setting in ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, {"NUMBA_BOUNDSCHECK": "1"}):
        assert first_call(copy, **setting) == (RIGHT, 0, 1)
        assert first_call(copy, **setting) == (RIGHT, 1, 0)


def test_processes_that_start_at_once_share_an_empty_cache(copy):
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV"))}
    settings |= {"PYTHONPATH": str(copy), "HOME": str(copy / "home"), "XDG_CACHE_HOME": str(copy / "home")}
    command = [sys.executable, "-c", FIRST_CALL.replace("BEFORE", "").replace("BETWEEN", "")]
    several = [subprocess.Popen(command, env=settings, cwd=copy, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in several:
        assert float(process.communicate(timeout=120)[0].split()[0]) == RIGHT
        assert process.returncode == 0
    assert not list(copy.rglob("*.tmp"))
    assert first_call(copy) == (RIGHT, 1, 0)
