"""`fastsoftmax doctor`: what it tells of a sound installation, and that it finds what is broken."""

import importlib.metadata
import json
import os
import subprocess
import sys
import time

import forked
import numpy as np
import pytest
from helpers import JIT

from fastsoftmax import functional, reference
from fastsoftmax.cli import doctor, self_test
from fastsoftmax.cli import main as cli
from fastsoftmax.kernels.jit import code_files, inspection, machine_code
from fastsoftmax.kernels.jit.entries import LARGE
from fastsoftmax.kernels.rows import direct

FIELDS = {"versions", "system", "cpu", "threads", "fork", "machine_code", "self_test", "errors", "warnings"}
pytestmark = pytest.mark.skipif(not JIT, reason="kernels as Python take minutes")


def run(capsys, *arguments):
    """Exit status, stdout and stderr."""
    return cli.main(["doctor", *arguments]), *capsys.readouterr()


def test_json_is_all_of_stdout_and_has_the_fields(capsys):
    status, out, err = run(capsys, "--json")
    found = json.loads(out, parse_constant=pytest.fail)  # neither NaN nor Infinity, which are no JSON
    assert (status, found["errors"]) == (0, [])
    assert set(found) == FIELDS
    assert found["versions"]["numpy"] == np.__version__
    assert {"model", "llvm_name", "instructions", "register_bytes"} == set(found["cpu"])
    assert found["threads"]["cores_by_affinity"] >= 1
    assert found["fork"] == ("safe" if hasattr(os, "fork") else "not tried")
    assert {check["dtype"] for check in found["self_test"]} == {"float32", "float64"}
    assert len({check["threads"] for check in found["self_test"]}) == 2
    assert all(check["is_right"] for check in found["self_test"])
    assert os.path.expanduser("~") + os.sep not in out
    assert "self-test: float64, 10007 rows" in err


def test_for_people(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "DTYPES", ())
    status, out, _ = run(capsys)
    assert status == 0
    for word in ("numba", "CPU ", "threads ", "quota", "fork ", "machine code ", "everything is in order"):
        assert word in out


def test_every_public_function_is_tested():
    public = {name for name in functional.__all__ if name != "LinearGrads"}
    names = [name for name, _ in self_test.cases("float64", *self_test.SHAPES[0])]
    assert sorted(names) == sorted(public)


def test_data_for_several_threads_are_shared():
    from fastsoftmax.kernels.threads import SMALL

    rows, _, classes = self_test.SHAPES[1]
    assert rows * classes > 2 * SMALL


def test_a_broken_kernel_is_found(capsys, monkeypatch):
    """One that is off by a ten-thousandth in one row of the many."""
    kernel = direct.softmax.call

    def broken(*arguments):
        done = kernel(*arguments)
        if done is not None and done is not LARGE:
            done[-1] *= 1.0001
        return done

    monkeypatch.setattr(direct.softmax, "call", broken)
    status, out, _ = run(capsys, "--json")
    wrong = [check for check in json.loads(out)["self_test"] if not check["is_right"]]
    assert status == 1
    assert {check["function"] for check in wrong} == {"softmax"}
    assert len(wrong) == 6
    monkeypatch.setattr(doctor, "DTYPES", ("float64",))
    status, out, _ = run(capsys)
    assert status == 1
    assert "ERROR         softmax, float64, 43 rows, 1 threads: differs from the reference by " in out
    assert out.endswith("something is broken\n")


@pytest.mark.parametrize("how", ["raises", "NaN", "shape"])
def test_every_kind_of_wrong_result_is_found(how, capsys, monkeypatch):
    def broken(X, weight, bias):
        if how == "raises":
            raise RuntimeError("no code\x1b[31m")
        logits = reference.dense(X, weight, bias)
        return logits[:1] if how == "shape" else logits * np.nan

    monkeypatch.setattr(functional, "dense", broken)
    monkeypatch.setattr(doctor, "DTYPES", ("float32",))
    status, out, _ = run(capsys, "--json")
    wrong = [check for check in json.loads(out, parse_constant=pytest.fail)["self_test"] if not check["is_right"]]
    assert status == 1
    assert {(check["function"], check["error"]) for check in wrong} == {("dense", None)}
    assert "\x1b" not in run(capsys)[1]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder that stands for this user's, of which `doctor.examine` is to tell."""
    monkeypatch.setattr(inspection.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / machine_code.FOLDER


def examined():
    """What is told of this user's folder, and the warnings that name it."""
    found = doctor.examine(dtypes=())
    assert found["errors"] == []
    return found["machine_code"][-1], [text for text in found["warnings"] if "machine" in text]


def test_a_cache_that_cannot_be_written_is_told(cache):
    cache.parent.write_text("")  # which stops even root
    place, warned = examined()
    assert not place["is_writable"]
    assert warned == [f"machine code is not kept: {cache} cannot be written"]


def test_a_cache_that_is_not_there_yet_is_none_to_warn_of(cache):
    place, warned = examined()
    assert (place["n_files"], place["is_writable"], warned) == (0, True, [])
    assert not cache.parent.exists()


@pytest.mark.skipif(os.name != "posix", reason="files have no owner and mode on this system")
def test_files_that_are_not_loaded_are_counted(cache):
    folder = cache / "0123456789abcdef" / "rows.softmax" / "0123456789abcdef"
    folder.mkdir(parents=True)
    cache.chmod(0o700)
    body = b"anything"
    for name in ("whole", "damaged", "writable"):
        digest = code_files.checksum(f"{name}.nbc", body)
        (folder / f"{name}.nbc").write_bytes(digest + (body[:-1] if name == "damaged" else body))
        (folder / f"{name}.nbc").chmod(0o666 if name == "writable" else 0o600)
    place, warned = examined()
    assert (place["n_files"], place["n_bytes"]) == (3, 3 * 32 + 23)
    assert (place["n_distrusted"], place["n_damaged"]) == (1, 1)
    assert len(warned) == 2
    cache.chmod(0o777)
    place, warned = examined()
    assert place["not_used"] == f"{cache} may be written by others"
    assert warned[0] == f"machine code is not kept: {cache} may be written by others"


def test_a_home_that_there_is_none_of(monkeypatch):
    monkeypatch.setattr(machine_code, "named_folder", lambda _: None)
    assert "there is no home" in doctor.examine(dtypes=())["warnings"][0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_that_is_not_safe_is_found(monkeypatch):
    softmax, parent = functional.softmax, os.getpid()

    def wrong_in_a_child(logits):
        return softmax(logits) + (os.getpid() != parent)

    def hanging_in_a_child(logits):
        time.sleep(60 if os.getpid() != parent else 0)
        return softmax(logits)

    monkeypatch.setattr(functional, "softmax", wrong_in_a_child)
    assert doctor.fork_state() == "wrong results"
    monkeypatch.setattr(functional, "softmax", hanging_in_a_child)
    monkeypatch.setattr(doctor, "FORK_SECONDS", 0.2)
    assert doctor.fork_state() == "hangs"
    assert doctor.examine(dtypes=())["errors"] == ["after a fork: hangs"]


def test_a_system_that_cannot_fork(monkeypatch):
    def no_more():
        raise OSError("no more processes")

    monkeypatch.setattr(os, "fork", no_more, raising=False)
    assert doctor.fork_state() == "not tried"
    monkeypatch.delattr(os, "fork", raising=False)
    assert doctor.fork_state() == "not tried"


def test_the_cpu_is_named_on_every_system(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor.Path, "read_text", lambda path: "processor: 0\nmodel name\t: Zen 5 at 4 GHz\n")
    assert doctor._cpu_model() == "Zen 5 at 4 GHz"
    monkeypatch.setattr(doctor.Path, "read_text", lambda path: "processor: 0\nBogoMIPS: 50\n")  # arm64
    assert doctor._cpu_model() in (doctor.platform.processor(), doctor.platform.machine())
    monkeypatch.setattr(sys, "platform", "darwin")
    told = subprocess.CompletedProcess([], 0, stdout="Apple M3\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **options: told)
    assert doctor._cpu_model() == "Apple M3"


@pytest.mark.parametrize(
    ("facts", "told"),
    [({"jit": False}, "NUMBA_DISABLE_JIT is set: "), ({"helpers": 0}, "no thread can be had: calls run on one")],
)
def test_what_makes_it_slow_is_told(monkeypatch, facts, told):
    original = doctor._thread_facts()
    monkeypatch.setattr(doctor, "_thread_facts", lambda: {**original, **facts})
    assert [text for text in doctor.examine(dtypes=())["warnings"] if text.startswith(told)]


def test_what_is_not_installed_is_told(monkeypatch):
    def none(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", none)
    found = doctor.examine(dtypes=())
    assert found["versions"]["scikit-learn"] is None
    assert "scikit-learn is not installed" in found["warnings"]
    assert "scikit-learn missing" in doctor.as_text(found)


def test_scikit_learn_is_not_needed(tmp_path):
    code = (
        "import sys; sys.modules['sklearn'] = None; from fastsoftmax.cli.main import main; sys.exit(main(['doctor']))"
    )
    done = forked.run(code, dict(os.environ), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("everything is in order\n")
