"""Code for other CPUs than this one: right where masks are dear, and free of what is slow there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import JIT

pytestmark = [
    pytest.mark.skipif(not JIT, reason="without the JIT there is no machine code"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="code for AVX2 is made and run on x86"),
]
HERE = Path(__file__).parent
AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
}  # Numba would add this machine's features to the CPU's own

# The answers of a CPU that has no masks at all, as arm64's have none, before anything asks for them
WITHOUT_MASKS = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fastsoftmax.kernels._target", FILE)
target = importlib.util.module_from_spec(spec)
spec.loader.exec_module(target)
target.has_mask_registers = target.has_masked_loads = lambda context: False
sys.modules["fastsoftmax.kernels._target"] = target
"""
TESTS = """
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *[ARGUMENTS]]))
"""


def run(code, tmp_path, **environment):
    settings = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=settings, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("masks", ["avx2", "none"])
def test_vectors_of_any_length_where_masks_are_dear(masks, tmp_path):
    """test_simd.py once more: loads and stores of some elements by parts, and transposition by blocks."""
    import fastsoftmax

    file = str(Path(fastsoftmax.__file__).parent / "kernels" / "_target.py")
    start = "import sys" if masks == "avx2" else WITHOUT_MASKS.replace("FILE", repr(file))
    tests = [str(HERE / "test_simd.py"), str(HERE / "test_softmax.py"), "-k", "simd or scipy or written or transposed"]
    run(start + TESTS.replace("ARGUMENTS", ", ".join(map(repr, tests))), tmp_path, **(AVX2 if masks == "avx2" else {}))


COUNT = """
import re
import numpy as np
import fastsoftmax as fs
from fastsoftmax.kernels import losses, softmax
for dtype in (np.float32, np.float64):
    for n_columns in (3, 10, 37):
        x = np.ones((20, n_columns), dtype)
        fs.log_softmax(x), fs.softmax_vjp(fs.softmax(x), x), fs.cross_entropy_value_and_grad(x, np.zeros(20, int))
for room, name in ((softmax, "_softmax_tiles"), (softmax, "_softmax_long"), (softmax, "_log_softmax_tiles"),
                   (softmax, "_log_softmax_long"), (softmax, "_softmax_jvp_span"), (losses, "_cross_entropy_tiles"),
                   (losses, "_cross_entropy_span")):
    for code in getattr(room, name).inspect_asm().values():
        stores = re.findall(r"vmaskmovp[sd]\\s+%ymm\\d+, %ymm\\d+, [^%\\n]*\\(", code)
        stack = re.findall(r"\\(%rsp\\)", code)
        print(name, len(stores), len(stack), "zmm" in code, "vfmadd" in code)
"""


def test_code_for_avx2_has_no_masked_stores(tmp_path):
    """They are microcoded on Zen 1 to 3 (10 ns for 64 bytes, 2.5 for a plain store)."""
    lines = [line.split() for line in run(COUNT, tmp_path, **AVX2).splitlines()]
    assert len(lines) == 14
    for name, stores, _stack, has_avx512, _ in lines:
        assert (stores, has_avx512) == ("0", "False"), name
    assert any(has_fma == "True" for *_, has_fma in lines)
