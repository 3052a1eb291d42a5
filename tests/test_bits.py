"""The same bits on every CPU with fused multiply-adds, and as AVX2 code: bits.json has their hashes."""

import json
import os
import platform
import subprocess
import sys

import bits
import pytest
from helpers import JIT
from test_target import AVX2

pytestmark = pytest.mark.skipif(not JIT, reason="without the JIT nothing is fused")


def fuses():
    from numba.core.registry import cpu_target

    _, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    return "+fma" in features or cpu == "haswell" or platform.machine() in ("aarch64", "arm64")


def differing(found):
    expected = json.loads(bits.EXPECTED.read_text())
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def test_bits_on_this_machine():
    if not fuses():
        pytest.skip("this CPU has no fused multiply-adds")
    assert differing(bits.hashes(bits.groups())) == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="code for AVX2 is made and run on x86")
def test_bits_of_code_for_avx2():
    settings = {**os.environ, **AVX2}
    done = subprocess.run([sys.executable, bits.__file__], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert differing(json.loads(done.stdout)) == []
