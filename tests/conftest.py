"""A run of all tests begins with the compilation of all kernels, in as many processes as there are cores.

With pytest-xdist (`-n auto`: a worker a core) the leader compiles, once, before it deals out the first test.
"""

import runpy
from pathlib import Path

import pytest
from helpers import JIT

from fastsoftmax.cli.warmup import DTYPES, default_jobs, warm_up

MANY = 1000  # tests: fewer do not need all kernels
LONGEST = "test_without_jit.py"  # a suite in one test, which the others are run beside


def pytest_configure(config):
    for marker in (
        "thread_unsafe",
        "skip_xp_backends",
        "xfail_xp_backends",
        "array_api_backends",
        "skip_xp_invalid_arg",
    ):
        config.addinivalue_line("markers", f"{marker}: of scikit-learn's and SciPy's own tests, which run here, too")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, which is an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def global_random_seed() -> int:
    """Of scikit-learn's own tests: as their runs have it by default."""
    return 42


@pytest.fixture
def report(capsys, monkeypatch):
    """What `python bench/report.py` prints for its arguments."""
    path = Path(__file__).parent.parent / "bench" / "report.py"
    monkeypatch.syspath_prepend(path.parent)
    main = runpy.run_path(str(path))["main"]

    def printed(*arguments):
        main(list(arguments))
        return capsys.readouterr().out

    return printed


def is_worker(config):
    """Whether tests are dealt out to this process by another."""
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config, items):
    if is_worker(config):
        items.sort(key=lambda item: item.path.name != LONGEST)


def pytest_collection_finish(session):
    if not is_worker(session.config) and not session.config.option.collectonly:
        compile_kernels(session.config, len(session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    return default_jobs()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """In the leader, after each worker has found its tests, which are the same."""
    compile_kernels(node.config, len(ids))


COMPILED = pytest.StashKey[bool]()


def compile_kernels(config, n_tests):
    if not JIT or n_tests <= MANY or COMPILED in config.stash:
        return
    config.stash[COMPILED] = True
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    report = warm_up(DTYPES, lambda what, done, of: None, default_jobs())
    if reporter is not None:
        reporter.write_line(f"kernels are compiled after {report.seconds:.0f} s: {report.n_files} files")
