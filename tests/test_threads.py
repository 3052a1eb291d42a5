"""Many Python threads at once, a fork after a call, joblib's workers: right results, no abort and no hang."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from helpers import rng, same_bits, uneven

import fastsoftmax as fs
from fastsoftmax.kernels.system import has_threads

LOGITS = uneven((300, 40), np.float32)
LABELS = rng().integers(0, 40, 300)


def everything(logits, labels):
    """One of each kind of call."""
    probs = fs.softmax(logits)
    loss, grad_logits = fs.cross_entropy_value_and_grad(logits, labels)
    return [probs, fs.logsumexp(logits), loss, grad_logits, *fs.dense_vjp(logits, np.ones((3, 40), "f4"), probs[:, :3])]


def test_many_threads_at_once():
    expected = everything(LOGITS, LABELS)
    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(lambda _: everything(LOGITS, LABELS), range(200)):
            assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))


def test_threads_that_write_into_one_array_side_by_side():
    out = np.empty_like(LOGITS)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: fs.softmax(LOGITS[n : n + 1], out=out[n : n + 1]), range(len(LOGITS))))
    assert same_bits(out, fs.softmax(LOGITS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_after_a_call():
    expected = everything(LOGITS, LABELS)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for results in pool.starmap_async(everything, [(LOGITS, LABELS)] * 4).get(timeout=120):
            assert all(same_bits(a, b) for a, b in zip(results, expected, strict=True))


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblibs_workers(backend):
    expected = fs.softmax(LOGITS)
    for result in joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fs.softmax)(LOGITS) for _ in range(4)):
        assert same_bits(result, expected)


@pytest.mark.parametrize(
    ("place", "value"), [("os", SimpleNamespace(name="nt")), ("sys", SimpleNamespace(maxsize=2**31))]
)
def test_helpers_are_for_posix_and_addresses_of_64_bits(place, value, monkeypatch):
    """Else the calling thread is alone: what is handed to the C library would be of another length."""
    with monkeypatch.context() as patched:
        patched.setattr(f"fastsoftmax.kernels.system.{place}", value)
        assert not has_threads()
    assert has_threads() == (os.name == "posix")
