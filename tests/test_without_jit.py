"""The kernels as plain Python: the same tests with the JIT off, so that coverage and debuggers see inside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import JIT

import fastsoftmax

HERE = Path(__file__).parent


@pytest.mark.skipif(not JIT, reason="this is the run without the JIT")
def test_the_kernels_pass_their_tests_as_python_and_every_line_of_them_runs(tmp_path):
    rooms = (
        "simd",
        "vecmath",
        "softmax",
        "jacobians",
        "losses",
        "direct",
        "whole_calls",
        "dense",
        "linear",
        "hessian",
        "inference",
        "boosting",
        "objective",
        "epoch",
        "iteration",
        "line_search",
        "training",
        "coordinates",
        "newton_cholesky",
        "coordinate_descent",
    )
    files = [str(HERE / f"test_{room}.py") for room in rooms]
    settings = {**os.environ, "NUMBA_DISABLE_JIT": "1", "COVERAGE_FILE": str(tmp_path / "coverage")}
    config = tmp_path / "coveragerc"
    kernels = Path(fastsoftmax.__file__).parent / "kernels"
    only_compiled = ("jit/*", "simd/[a-z]*", "system", "closures", "board", "threads")
    compiled = ",".join(f"*/{room}.py" for room in only_compiled)
    config.write_text(f"[run]\nbranch = true\nsource = {kernels}\nomit = {compiled}\n[report]\nfail_under = 90\n")
    quick = "not long and not every_size and not finite_differences"
    options = ["-q", "-p", "no:cacheprovider", "-k", quick, "-W", "ignore::RuntimeWarning"]  # NumPy's scalars warn
    command = [sys.executable, "-m", "pytest", *options, f"--cov-config={config}", f"--cov={kernels}", *files]
    done = subprocess.run(command, env=settings, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
