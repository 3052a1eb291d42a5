"""The cache of machine code: filled once and used, never stale, never another user's, and never in the way."""

import compileall
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import forked
import numba
import numpy as np
import pytest
from helpers import JIT
from llvmlite import binding
from numba.core.caching import NullCache

import fastsoftmax
from fastsoftmax.kernels.jit import code_files, kernel, libraries
from fastsoftmax.kernels.rows import vecmath

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT there is no machine code to keep")

# A small kernel, whose exp stands in another file: logistic(1)
FIRST_CALL = """
BEFORE
import numpy as np
from fastsoftmax import kernels
BETWEEN
z = np.array([[0.0, 1.0]])
kernels.activate(z, 1)
print(z[0, 1])
stats = kernels.activate.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
RIGHT = pytest.approx(np.e / (1 + np.e))
OTHER_USER = 12345
as_root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give a file to another user"
)
with_owners = pytest.mark.skipif(os.name != "posix", reason="files have no owner and mode on this system")


@pytest.fixture
def copy(tmp_path):
    """A copy of the package that tests may change."""
    source = Path(fastsoftmax.__file__).parent
    shutil.copytree(source, tmp_path / "site" / "fastsoftmax", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def settings_for(copy, environment):
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "COV", "XDG_"))}
    paths = [str(copy / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]  # where Numba itself may be
    settings |= {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(copy / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    settings |= environment
    return {name: value for name, value in settings.items() if value is not None}


def output(copy, program, anew=False, **environment):
    """The words that a program prints in a new process that imports the copy; what it warns of.

    Anew: a process that begins without Numba, too (tests/forked.py).
    """
    settings = settings_for(copy, environment)
    if anew:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=settings, cwd=copy, capture_output=True, text=True, timeout=120)
    else:
        done = forked.run(program, settings, copy)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(), done.stderr


def run(copy, before="", between="", anew=False, **environment):
    """probability, cache hits and misses of a first call in a new process; what it warns of."""
    program = FIRST_CALL.replace("BEFORE", before).replace("BETWEEN", between)
    (probability, hits, misses), warned = output(copy, program, anew, **environment)
    return (float(probability), int(hits), int(misses)), warned


def first_call(copy, *args, **environment):
    """The same; nothing is warned of."""
    result, warned = run(copy, *args, **environment)
    assert warned == ""
    return result


def files_of(folder):
    return sorted(folder.rglob("*.nbc"))


def mine(copy):
    """The folder of machine code of the user whose home is in the copy."""
    return (
        copy / "home" / ".cache" / "fastsoftmax"
        if sys.platform == "linux"
        else next((copy / "home").rglob("fastsoftmax"))
    )


def test_a_second_process_compiles_nothing(copy):
    assert first_call(copy, anew=True) == (RIGHT, 0, 1)
    assert files_of(copy / "home")
    assert first_call(copy, anew=True) == (RIGHT, 1, 0)


def test_nothing_is_written_beside_or_into_the_package(copy):
    """What pip has not put there it would leave behind: a folder without __init__.py that can still be imported."""
    before = sorted((copy / "site").rglob("*"))
    first_call(copy)
    assert sorted((copy / "site").rglob("*")) == before


def test_a_new_place_of_the_package_finds_its_code_again(copy):
    first_call(copy)
    (copy / "site").rename(copy / "elsewhere")
    assert first_call(copy, PYTHONPATH=str(copy / "elsewhere")) == (RIGHT, 1, 0)


def test_a_package_in_a_zip_file_keeps_its_code(copy):
    with zipfile.ZipFile(copy / "package.zip", "w") as archive:
        for path in (copy / "site").rglob("*.py"):
            archive.write(path, path.relative_to(copy / "site"))
    in_zip = str(copy / "package.zip")
    assert first_call(copy, PYTHONPATH=in_zip) == (RIGHT, 0, 1)
    assert first_call(copy, PYTHONPATH=in_zip) == (RIGHT, 1, 0)
    assert first_call(copy) == (RIGHT, 1, 0)  # the text is the same


@pytest.mark.parametrize("file", ["rows/elementary.py", "layer/activations.py"])
def test_a_changed_callee_is_never_run_stale(copy, file):
    """Exp is inlined into the machine code of activate, which stands in another file."""
    assert first_call(copy) == (RIGHT, 0, 1)
    path = copy / "site" / "fastsoftmax" / "kernels" / file
    before = path.stat()
    text = path.read_text()
    if file == "rows/elementary.py":
        changed = text.replace("_LOWEST_64), 0.0, y)", "_LOWEST_64), 0.0, n)")
    else:
        changed = text.replace("one) / (e + one)", "one) / (e - one)")
    assert len(changed) == len(text)
    assert changed != text
    path.write_text(changed)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size and time: only the text tells
    probability, hits, misses = first_call(copy)
    assert probability != RIGHT
    assert (hits, misses) == (0, 1)
    path.write_text(text)
    assert first_call(copy) == (RIGHT, 1, 0)


def test_a_change_in_a_file_that_is_not_imported_asks_for_no_other_code(copy):
    """Activate's text is that of what layer/activations.py imports, directly or not."""
    assert first_call(copy) == (RIGHT, 0, 1)
    path = copy / "site" / "fastsoftmax" / "kernels" / "layer" / "sparse.py"
    path.write_text(path.read_text() + "# a comment\n")
    assert first_call(copy) == (RIGHT, 1, 0)


def test_a_changed_callee_is_never_run_stale_where_there_is_no_source(copy):
    """Compiled files alone, as some installers leave them."""
    package = copy / "site" / "fastsoftmax"
    text = (package / "kernels" / "rows" / "elementary.py").read_text()

    def compiled(text):
        (package / "kernels" / "rows" / "elementary.py").write_text(text)
        assert compileall.compile_dir(package, quiet=2, legacy=True, force=True)

    compiled(text)
    sources = {path: path.read_text() for path in package.rglob("*.py")}
    for path in sources:
        path.unlink()
    assert first_call(copy) == (RIGHT, 0, 1)
    assert first_call(copy) == (RIGHT, 1, 0)
    for path, source in sources.items():
        path.write_text(source)
    compiled(text.replace("_LOWEST_64), 0.0, y)", "_LOWEST_64), 0.0, n)"))
    for path in sources:
        path.unlink()
    probability, hits, misses = first_call(copy)
    assert probability != RIGHT
    assert (hits, misses) == (0, 1)


def test_kernels_import_from_modules_by_their_whole_names():
    """What a file imports is found in its text by the names of modules."""
    kernels = Path(fastsoftmax.__file__).parent / "kernels"
    packages = r"from fastsoftmax(\.kernels(\.(rows|layer|fit))?)? import"
    assert [file for file in kernels.glob("*/*.py") if re.search(packages, file.read_text())] == []


# A kernel that calls others by their symbols, and a user's function that Numba keeps
ROWS = """
import numpy as np
from fastsoftmax.kernels.rows.vecmath import sum_row
from fastsoftmax.kernels.layer.activations import activate
from fastsoftmax.kernels import direct_toy as toy
print(toy.total(np.ones((1, 3))))
print(sum(toy.total.stats.cache_hits.values()), sum(sum_row.stats.cache_misses.values()))
"""
TOY = """
from fastsoftmax.kernels.jit import kernel, machine_code
from fastsoftmax.kernels.rows.vecmath import sum_row
@kernel
def total(x):
    return sum_row(x[0])
"""


def test_a_kernel_whose_callee_is_not_kept_any_more_has_it_compiled_again(copy):
    (copy / "site" / "fastsoftmax" / "kernels" / "direct_toy.py").write_text(TOY)

    assert output(copy, ROWS)[0] == ["3.0", "0", "1"]
    assert output(copy, ROWS)[0] == ["3.0", "1", "0"]
    for path in files_of(copy / "home"):
        if path.name.startswith("sum_row-"):
            path.unlink()
    assert output(copy, ROWS)[0] == ["3.0", "1", "1"]


USERS = """
import numba, numpy as np, fastsoftmax as fs
@numba.njit(cache=True)
def predict(logits):
    return fs.softmax(logits)
print(predict(np.zeros((2, 4)))[1, 3], sum(predict.stats.cache_hits.values()))
"""


def test_what_numba_keeps_of_a_users_function_holds_all_that_it_calls(copy):
    """In a process where none of our kernels has been loaded, and none can be."""
    (copy / "users.py").write_text(USERS)
    predict = "import runpy; runpy.run_path('users.py', run_name='__main__')"
    assert output(copy, predict)[0] == ["0.25", "0"]
    shutil.rmtree(mine(copy))
    assert output(copy, predict, anew=True)[0] == ["0.25", "1"]
    assert not files_of(mine(copy))


def test_a_source_that_changes_under_a_running_process_leaves_no_stale_code(copy):
    """What is compiled is the text at import; it must not be kept under the name of the text at the call."""
    path = copy / "site" / "fastsoftmax" / "kernels" / "layer" / "activations.py"
    text = path.read_text()
    old, new = "one) / (e + one)", "one) / (e - one)"
    change = f"open({str(path)!r}, 'w').write({text!r}.replace({old!r}, {new!r}))"
    assert first_call(copy, between=change) == (RIGHT, 0, 1)
    probability, hits, misses = first_call(copy)
    assert probability != RIGHT
    assert (hits, misses) == (0, 1)


def test_other_versions_ask_for_other_code_and_leave_ours(copy):
    assert first_call(copy) == (RIGHT, 0, 1)
    for change in ("numba.__version__ = '0'", "llvmlite.__version__ = '0'", "sys.version = '0'"):
        before = f"import sys, numba, llvmlite; {change}"
        assert first_call(copy, before) == (RIGHT, 0, 1)
        assert first_call(copy, before) == (RIGHT, 1, 0)
    assert first_call(copy) == (RIGHT, 1, 0)


def test_names_that_nobody_outside_asks_for_are_not_kept():
    text = "define i64 @seen(i64 %number) {\nentry:\n  %twice = add i64 %number, %number\n  ret i64 %twice\n}\n"
    library = vecmath.sum_row.get_compile_result(numba.float64(numba.float64[::1])).library
    left = str(libraries._without_names(library, binding.parse_assembly(text)))
    assert "@seen(" in left
    assert not re.search("number|entry|twice", left)


def test_functions_of_other_files_are_not_kept():
    """The name of a file of machine code tells the text of the kernels only."""
    assert type(kernel(lambda x: x)._cache) is NullCache
    assert type(vecmath.sum_row._cache) is not NullCache


def test_what_one_function_makes_of_several_is_not_mixed_up(copy):
    text = """
from fastsoftmax.kernels.jit import kernel, machine_code
def _make(step):
    @kernel
    def add(x):
        return x + step
    return add
one, two = _make(1), _make(2)
"""
    text += "@kernel\ndef three(x):\n    return one(x) + 2\n"
    (copy / "site" / "fastsoftmax" / "kernels" / "toy.py").write_text(text)
    check = "from fastsoftmax.kernels import toy; assert (toy.one(1), toy.two(1)) == (2, 3); assert toy.three(1) == 4"
    for _ in range(2):
        first_call(copy, between=check)
        first_call(copy, between=check.replace("(toy.one(1), toy.two(1)) == (2, 3)", "toy.two(1) == 3"))


def test_of_many_sources_those_that_were_used_last_are_kept(copy):
    path = copy / "site" / "fastsoftmax" / "kernels" / "layer" / "activations.py"
    first, others = path.read_text(), []
    first_call(copy)
    for number in range(5):
        path.write_text(f"{first}# {number}\n")
        first_call(copy)
        others.append({file.parent.name for file in files_of(copy)})
        path.write_text(first)
        assert first_call(copy) == (RIGHT, 1, 0)  # two versions side by side do not drive each other out
    assert len(others[-1]) == 4
    assert len(set.union(*others)) == 6


def test_nothing_but_machine_code_is_ever_swept_away(copy):
    """Not even folders named as ours are, with something else in them."""
    place = copy / "work"
    others = [
        place / "fastsoftmax" / "src",
        *(place / "fastsoftmax-machine-code" / f"{n:016x}" / "notes" for n in range(6)),
    ]
    for folder in others:
        folder.mkdir(parents=True)
        (folder / "kept.txt").write_text("")
        os.utime(folder.parent, (0, 0))
    (place / "fastsoftmax-machine-code").chmod(0o700)
    path = copy / "site" / "fastsoftmax" / "kernels" / "layer" / "activations.py"
    text = path.read_text()
    for number in range(6):
        path.write_text(f"{text}# {number}\n")
        first_call(copy, NUMBA_CACHE_DIR=str(place))
    assert all((folder / "kept.txt").exists() for folder in others)
    assert len({file.parent for file in files_of(place)}) == 4


def test_no_code_is_put_into_the_package(copy):
    inside = copy / "site" / "fastsoftmax" / "kernels"
    result, warned = run(copy, NUMBA_CACHE_DIR=str(inside))
    assert result == (RIGHT, 0, 1)
    assert warned_once(warned, "lies inside the package")
    assert not files_of(copy / "site")


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


def test_a_file_by_another_name_is_not_loaded(copy):
    """Its content is whole, but it is the code of other arguments."""
    first_call(copy)
    (double,) = [path for path in files_of(copy) if path.name.startswith("activate-")]
    first_call(copy, between="kernels.activate(np.zeros((1, 1), np.float32), 1)")
    (single,) = [path for path in files_of(copy) if path.name.startswith("activate-") and path != double]
    shutil.copyfile(single, double)
    assert first_call(copy) == (RIGHT, 0, 1)


def test_a_place_that_cannot_be_written_does_not_stop_a_call(copy):
    """Files where the folders should be: that stops even root."""
    (copy / "home").write_text("")
    assert first_call(copy) == (RIGHT, 0, 1)
    assert first_call(copy, NUMBA_CACHE_DIR=str(copy / "home" / "deeper")) == (RIGHT, 0, 1)


BROKEN = {
    "the runtime": "from numba.core.runtime import rtsys; rtsys.initialize = FAIL",
    "what is to be kept": "from fastsoftmax.kernels.jit import machine_code; machine_code.pack = FAIL",
    "what was kept": "from fastsoftmax.kernels.jit import libraries; libraries.Kernel.take = FAIL",
    "the disk is full": "import os; os.replace = FULL",
}


@pytest.mark.parametrize("what", BROKEN)
def test_nothing_that_the_cache_does_stops_a_call(copy, what):
    if what == "what was kept":
        first_call(copy)
    fail = "def FAIL(*_): raise RuntimeError\ndef FULL(*_): raise OSError(28, 'No space left on device')\n"
    if what == "the runtime":  # which a compilation needs, too
        between = "first = rtsys.initialize\ndef once(*a):\n  rtsys.initialize = first\n  raise RuntimeError\n"
        between = f"from numba.core.runtime import rtsys\n{between}rtsys.initialize = once"
        assert first_call(copy, between=between) == (RIGHT, 0, 1)
    else:
        assert first_call(copy, between=fail + BROKEN[what]) == (RIGHT, 0, 1)
    assert not list(copy.rglob("*.tmp"))


def test_numba_cache_dir_is_used(copy):
    place = copy / "elsewhere"
    assert first_call(copy, NUMBA_CACHE_DIR=str(place)) == (RIGHT, 0, 1)
    assert files_of(place)
    assert not files_of(copy / "home")
    assert first_call(copy, NUMBA_CACHE_DIR=str(place)) == (RIGHT, 1, 0)


@with_owners
def test_the_folder_and_its_files_are_this_users_alone(copy):
    before = os.umask(0)
    try:
        first_call(copy)
        first_call(copy, NUMBA_CACHE_DIR=str(copy / "elsewhere"))
    finally:
        os.umask(before)
    for root in (mine(copy), copy / "elsewhere" / "fastsoftmax-machine-code"):
        kept = [root, *root.rglob("*")]
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_dir()} == {0o700}
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}


def warned_once(text, reason):
    return text.count("RuntimeWarning") == text.count("machine code is not kept") == text.count(reason) == 1


@with_owners
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_is_not_used(copy, mode):
    first_call(copy)
    mine(copy).chmod(mode)
    before = [(path, path.stat().st_mtime_ns) for path in files_of(copy)]
    result, warned = run(copy)
    assert result == (RIGHT, 0, 1)
    assert warned_once(warned, "may be written by others")
    assert [(path, path.stat().st_mtime_ns) for path in files_of(copy)] == before
    assert first_call(copy, "import warnings; warnings.simplefilter('error')") == (RIGHT, 0, 1)


@as_root
def test_a_folder_of_another_users_is_not_used(copy):
    first_call(copy)
    os.chown(mine(copy), OTHER_USER, OTHER_USER)
    result, warned = run(copy)
    assert result == (RIGHT, 0, 1)
    assert warned_once(warned, "belongs to another user")
    shutil.rmtree(mine(copy))
    os.chown(mine(copy).parent, OTHER_USER, OTHER_USER)
    result, warned = run(copy)  # nor is one made there, which that user could not use from then on
    assert warned_once(warned, "belongs to another user")
    assert not mine(copy).exists()


@as_root
def test_a_link_of_another_users_is_not_followed(copy):
    first_call(copy)
    mine(copy).rename(copy / "home" / "mine")
    mine(copy).symlink_to(copy / "home" / "mine")
    assert first_call(copy) == (RIGHT, 1, 0)  # one's own may be a link
    os.lchown(mine(copy), OTHER_USER, OTHER_USER)
    result, warned = run(copy)
    assert result == (RIGHT, 0, 1)
    assert warned_once(warned, "belongs to another user")


@with_owners
@pytest.mark.parametrize("how", ["written by all", "of another user"])
def test_a_file_that_others_may_have_written_is_not_loaded(copy, how):
    """Unpickling it would run whatever they have put there."""
    if how == "of another user" and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    first_call(copy)
    for path in files_of(copy):
        path.chmod(0o666) if how == "written by all" else os.chown(path, OTHER_USER, OTHER_USER)
    assert first_call(copy) == (RIGHT, 0, 1)
    assert first_call(copy) == (RIGHT, 1, 0)  # ours has taken its place


NOBODY = "import pwd\ndef unknown(*_): raise KeyError\npwd.getpwuid = unknown"


@with_owners
@pytest.mark.parametrize(
    "environment", [{"HOME": None}, {"HOME": "relative"}, {"NUMBA_CACHE_DIR": "~/code"}, {"XDG_CACHE_HOME": "~/code"}]
)
def test_without_a_home_no_folder_of_a_strange_name_is_made_or_read(copy, environment):
    """A folder named ~ in the working directory, with code that is loaded from there later."""
    environment = {"HOME": None, **environment}
    before = sorted(copy.iterdir())
    assert first_call(copy, NOBODY, **environment) == (RIGHT, 0, 1)
    assert [path for path in sorted(copy.iterdir()) if path not in before and path.name != "home"] == []
    assert first_call(copy, NOBODY, **environment) == (RIGHT, 0, 1)


INSTALL = (
    "from fastsoftmax.kernels.jit.machine_code import beside_package; context = beside_package(); context.__enter__()"
)


def test_what_an_installer_has_put_beside_the_package_is_used_and_never_written(copy):
    before = os.umask(0o077)  # of root on many servers: what is installed is for everyone all the same
    try:
        assert first_call(copy, between=INSTALL) == (RIGHT, 0, 1)
    finally:
        os.umask(before)
    beside = copy / "site" / "fastsoftmax-machine-code"
    kept = files_of(beside)
    assert kept
    assert not files_of(copy / "home")
    if os.name == "posix":
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o644}
        folders = [path for path in beside.rglob("*") if path.is_dir()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in (beside, *folders)} == {0o755}
        for path in (beside, *beside.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    (copy / "home").write_text("")  # no other place, even for root
    assert first_call(copy) == (RIGHT, 1, 0)
    assert files_of(beside) == kept
    shutil.rmtree(copy / "site" / "fastsoftmax")  # as pip does, which knows nothing of the other folder
    code = "import importlib.util; print(importlib.util.find_spec('fastsoftmax'))"
    command = [sys.executable, "-P", "-S", "-c", code]
    done = subprocess.run(command, env=settings_for(copy, {}), cwd=copy, capture_output=True, text=True)
    assert done.stdout.strip() == "None", done.stderr
    assert not beside.name.isidentifier()


def test_a_folder_that_an_earlier_version_has_left_does_not_hide_the_package(copy):
    """Without __init__.py it is a namespace package, which comes after every real one on the path."""
    ghost = copy / "ghost" / "fastsoftmax" / "kernels" / "__pycache__" / "fastsoftmax-0123456789abcdef"
    ghost.mkdir(parents=True)
    path = os.pathsep.join([str(copy / "ghost"), str(copy / "site")])
    assert first_call(copy, PYTHONPATH=path) == (RIGHT, 0, 1)


def test_another_cpu_or_setting_asks_for_other_code(copy):
    first_call(copy)
    for setting in ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, {"NUMBA_BOUNDSCHECK": "1"}):
        assert first_call(copy, anew=True, **setting) == (RIGHT, 0, 1)
        assert first_call(copy, anew=True, **setting) == (RIGHT, 1, 0)


KILLED = "import signal; signal.setitimer(signal.ITIMER_REAL, {})"  # by SIGALRM, which ends it as SIGKILL would


def test_eight_processes_of_two_versions_fill_an_empty_cache_at_once(copy):
    """And two that are killed at some moment of it leave nothing that stops or misleads the others."""
    shutil.copytree(copy / "site", copy / "newer")
    path = copy / "newer" / "fastsoftmax" / "kernels" / "layer" / "activations.py"
    path.write_text(path.read_text().replace("one) / (e + one)", "one) / (e - one)"))
    versions, programs = ["site", "newer"] * 4, []
    for number, version in enumerate(versions):
        killed = KILLED.format(np.random.default_rng().uniform(0.05, 1.5)) if number < 2 else ""
        program = FIRST_CALL.replace("BEFORE", killed).replace("BETWEEN", "")
        programs.append((program, settings_for(copy, {"PYTHONPATH": str(copy / version)})))
    newer = pytest.approx(np.e / (1 - np.e))
    for version, done in list(zip(versions, forked.run_together(programs, copy), strict=True))[2:]:
        assert (done.returncode, done.stderr) == (0, "")
        assert float(done.stdout.split()[0]) == (RIGHT if version == "site" else newer)
    assert first_call(copy) == (RIGHT, 1, 0)
    assert first_call(copy, PYTHONPATH=str(copy / "newer")) == (newer, 1, 0)


MANY = """
import os
from fastsoftmax.kernels import direct_toy as toy
from fastsoftmax.kernels.jit import kernel
kernel(lambda x: x + 1.0)(1.0)  # the compiler is loaded, which takes longer than to compile
wait, go = os.pipe()
children = []
for _ in range(32):
    children.append(os.fork())
    if children[-1] == 0:
        os.close(go)
        os.read(wait, 1)  # until all are there: then the pipe ends
        os._exit(0 if toy.twice(1.5) == 3.0 else 1)
os.close(go)
print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_thirty_two_processes_compile_into_one_empty_cache_at_once(copy):
    """Forked where all is imported, so that they do it in the same moment."""
    text = """
from fastsoftmax.kernels.jit import kernel, machine_code
@kernel
def once(x):
    return x
@kernel
def twice(x):
    return once(x) + x
"""
    (copy / "site" / "fastsoftmax" / "kernels" / "direct_toy.py").write_text(text)
    statuses, warned = output(copy, MANY)
    assert (statuses, warned) == (["0"] * 32, "")
    kept = files_of(mine(copy))
    assert [path.name.split("-")[0] for path in kept] == ["once", "twice"]
    assert all(code_files.is_whole(path.name, path.read_bytes()) for path in kept)
    assert not list(copy.rglob("*.tmp"))
    check = "from fastsoftmax.kernels import direct_toy as toy; assert toy.twice(1.5) == 3.0\n"
    first_call(copy, between=check + "assert sum(toy.twice.stats.cache_misses.values()) == 0")


def test_what_a_killed_process_has_left_is_removed_in_time(copy):
    first_call(copy)
    folder = files_of(copy)[0].parent
    for name, age in (("old.tmp", 2 * code_files.ABANDONED), ("new.tmp", 0)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    for path in files_of(folder):
        path.unlink()
    assert first_call(copy) == (RIGHT, 0, 1)
    assert [path.name for path in folder.glob("*.tmp")] == ["new.tmp"]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is of Linux")
def test_a_disk_that_fills_up_in_the_middle_of_a_file(copy):
    """The write that goes beyond is cut short; nothing is told, nothing half is left, and the next call tries again."""
    full = "import resource; limit = resource.RLIMIT_FSIZE; resource.setrlimit(limit, ({0}, {0}))"
    for size in (0, 1000):
        assert first_call(copy, full.format(size)) == (RIGHT, 0, 1)
        assert files_of(copy) == list(copy.rglob("*.tmp")) == []
    assert first_call(copy) == (RIGHT, 0, 1)
    assert first_call(copy) == (RIGHT, 1, 0)


@with_owners
def test_no_part_of_a_file_and_no_flipped_bit_is_taken_for_a_whole_one(tmp_path):
    path, body = tmp_path / "activate-0123456789abcdef.nbc", zlib.compress(bytes(range(256)))
    code_files.write(path, body)
    content, random = path.read_bytes(), np.random.default_rng(0)
    assert code_files.read(path) == body
    spoiled = [content[:length] for length in range(0, len(content), 7)]
    for position in (*range(code_files.DIGEST_SIZE), *random.integers(0, len(content), 200)):
        bit = 1 << random.integers(8)
        spoiled.append(content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
    for other in (*spoiled, content + b"more"):
        path.write_bytes(other)
        with pytest.raises(ValueError, match="is damaged"):
            code_files.read(path)
