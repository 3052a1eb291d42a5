"""bench/report.py: from what pytest-benchmark saves to tables."""

import json
import subprocess
import sys
from pathlib import Path

REPORT = Path(__file__).parent.parent / "bench" / "report.py"


def entry(operation, shape, medians, **more):
    info = {"operation": operation, "shape": shape, "dtype": "float32", "threads": 1, "bytes": 8 * shape[0] * shape[1]}
    return {"extra_info": {**info, "medians": medians, **more}}


def saved(tmp_path, entries):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"benchmarks": entries}))
    return str(path)


def test_the_tables(tmp_path, report):
    medians = {"torch": 4e-5, "jax": 2e-5, "fastsoftmax": 1e-5, "ceiling copy": 5e-6}
    medians |= {"ceiling exp": 4e-6, "ceiling max": 1e-6, "ceiling scale": 3e-6}
    entries = [
        entry("softmax", [128, 1000], medians),
        entry("softmax_vjp", [128, 1000], {"torch": 0.9e-5, "fastsoftmax": 1e-5}),
        entry("softmax", [128, 10], medians, cpu="znver5", isa="AVX2", commit="0123abc"),
        {"extra_info": {"operation": "training", "shape": [1, 2], "dtype": "float32", "threads": 1}},
    ]
    told = report(saved(tmp_path, entries))
    assert "| (128, 1000) | 10.0 | 4.0 | 2.0 | 10.0 | 0.9 | - |" in told
    assert "| softmax | (128, 1000) | 40.0 | 20.0 | **10.0** | 4.0 | 2.0 |" in told
    assert "| (128, 1000) | float32 | 1 | 12.80 | 102.4 | 0.50 | 0.80 |" in told
    assert "- softmax_vjp (128, 1000) float32, 1 thread: torch takes 0.90 of our time" in told
    assert "training" not in told
    assert told.startswith("znver5 (), AVX2 code, commit 0123abc\n")


def test_the_tables_of_training(tmp_path, report):
    good, far = {"gap": 0.0, "reached": True, "accuracy": 0.97}, {"gap": 0.02, "reached": False, "accuracy": 0.9}
    fits = {"fastsoftmax lbfgs": good, "sklearn lbfgs": good, "sklearn saga": far, "cyanure": good}
    medians = {"fastsoftmax lbfgs": 2e-3, "fastsoftmax lbfgs, solver": 1e-3, "fastsoftmax": 2e-3}
    medians |= {"sklearn lbfgs": 8e-3, "sklearn saga": 1e-3, "sklearn": 8e-3, "cyanure": 5e-3, "peers": 5e-3}
    path = {"fastsoftmax lbfgs": 6e-3, "fastsoftmax lbfgs, one fit": 2e-3, "fastsoftmax": 6e-3}
    path |= {"sklearn lbfgs": 9e-2, "sklearn lbfgs, one fit": 9e-3, "sklearn": 9e-2}
    both = {"fastsoftmax lbfgs": good, "sklearn lbfgs": good}
    descents = {"fastsoftmax": 1e-3, "jax": 4e-3, "jax old": 2e-3}
    entries = [
        entry("fit digits", [1797, 64, 10], medians, fits=fits),
        entry("path digits", [1797, 64, 10], path, fits=both),
        entry("cv digits", [1797, 64, 10], {"fastsoftmax": 1e-2, "sklearn lbfgs": 0.5, "sklearn": 0.5}, fits=both),
        entry("sgd digits", [1344, 64, 10], descents, fits=dict.fromkeys(descents, good)),
    ]
    told = report(saved(tmp_path, entries))
    assert "| digits | (1797, 64, 10) | float32 | 1 | **2.00** (1.00) | 8.00 | 1.00, 0.02 above | 4.0 |" in told
    assert "| digits | (1797, 64, 10) | float32 | 1 | 5.00 | 2.5 |" in told
    assert "| digits | (1797, 64, 10) | float32 | 1 | 6.00 (3.0 fits) | 90.0 (10.0 fits) | 15.0 |" in told
    assert "| cv digits | (1797, 64, 10) | float32 | 1 | - | 500 | 50.0 |" in told
    assert "| digits | (1344, 64, 10) | float32 | 1 | 1.00 | 4.0 | 2.0 | 0.9700 | 0.9700 | 0.9700 |" in told


def test_a_file_without_races_is_bad_usage(tmp_path):
    done = subprocess.run([sys.executable, str(REPORT), saved(tmp_path, [])], capture_output=True, text=True)
    assert done.returncode == 2
    assert "no races in these files" in done.stderr


def test_all_libraries_are_held_to_an_instruction_set_before_they_are_loaded():
    hold = "isa.hold_to(sys.argv)"
    isa = "from fastsoftmax.cli.races.machine import machine; print(machine()['isa'])"
    code = f"import isa, sys; print({hold}); import numpy; {isa}; {hold}"
    start = {"cwd": REPORT.parent, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", code, "--isa=avx2"], **start)
    assert done.stdout.split() == ["avx2", "AVX2"]
    assert "--isa comes too late: numpy, numba is loaded already" in done.stderr
    done = subprocess.run([sys.executable, "-c", code, "--isa", "mmx"], **start)
    assert "--isa must be one of avx2, got 'mmx'" in done.stderr
