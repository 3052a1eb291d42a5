"""A run of all tests begins with the compilation of all kernels, in as many processes as there are cores."""

from helpers import JIT

from fastsoftmax.cli.warmup import DTYPES, default_jobs, warm_up

MANY = 1000  # tests: fewer do not need all kernels


def pytest_configure(config):
    for marker in (
        "thread_unsafe",
        "skip_xp_backends",
        "xfail_xp_backends",
        "array_api_backends",
        "skip_xp_invalid_arg",
    ):
        config.addinivalue_line("markers", f"{marker}: of scikit-learn's and SciPy's own tests, which run here, too")


def pytest_collection_finish(session):
    if JIT and len(session.items) > MANY and not session.config.option.collectonly:
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        report = warm_up(DTYPES, lambda what, done, of: None, default_jobs())
        if reporter is not None:
            reporter.write_line(f"kernels are compiled after {report.seconds:.0f} s: {report.n_files} files")
