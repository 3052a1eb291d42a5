"""Code for other CPUs than this one: right where masks are dear, and free of what is slow there."""

import os
import re
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

# The answers of a CPU with arm64's registers, which has no masks at all, before anything asks for them. What is written
# in arm64's own instructions (the lookup of exp, the pause of threads) is left out, so that this machine can run it.
LIKE_ARM64 = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fastsoftmax.kernels.simd.target", FILE)
target = importlib.util.module_from_spec(spec)
spec.loader.exec_module(target)
target.has_mask_registers = target.has_masked_loads = target.has_avx2 = lambda context: False
target.has_many_registers = lambda context: True
sys.modules["fastsoftmax.kernels.simd.target"] = target
"""
TESTS = """
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *[ARGUMENTS]]))
"""


def run(code, own_cache=None, **environment):
    """What the code prints in a new process. own_cache: a folder, where no other process may find the machine code."""
    settings = {**os.environ, **environment}
    if own_cache is not None:
        settings["NUMBA_CACHE_DIR"] = str(own_cache)
    done = subprocess.run([sys.executable, "-c", code], env=settings, cwd=HERE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def like_arm64():
    import fastsoftmax

    file = str(Path(fastsoftmax.__file__).parent / "kernels" / "simd" / "target.py")
    return LIKE_ARM64.replace("FILE", repr(file))


@pytest.mark.parametrize("masks", ["avx2", "none"])
def test_vectors_of_any_length_where_masks_are_dear(masks, tmp_path):
    """test_simd.py once more: loads and stores of some elements by parts, and transposition by blocks."""
    start = "import sys" if masks == "avx2" else like_arm64()
    tests = [str(HERE / "test_simd.py"), str(HERE / "test_softmax.py"), "-k", "simd or scipy or written or transposed"]
    code = start + TESTS.replace("ARGUMENTS", ", ".join(map(repr, tests)))
    if masks == "avx2":
        run(code, **AVX2)
    else:
        run(code, own_cache=tmp_path)


COUNT = """
import re
import numpy as np
import fastsoftmax as fs
from fastsoftmax.kernels.rows import jacobians, losses, softmax
for dtype in (np.float32, np.float64):
    for n_columns in (3, 10, 50):  # 50: too long for tiles
        x = np.ones((20, n_columns), dtype)
        fs.log_softmax(x), fs.softmax_vjp(fs.softmax(x), x), fs.cross_entropy_value_and_grad(x, np.zeros(20, int))
for room, name in ((softmax, "_softmax_tiles"), (softmax, "_softmax_long"), (softmax, "_log_softmax_tiles"),
                   (softmax, "_log_softmax_long"), (jacobians, "_softmax_jvp_span"), (losses, "_cross_entropy_tiles"),
                   (losses, "_cross_entropy_span")):
    for code in getattr(room, name).inspect_asm().values():
        stores = re.findall(r"vmaskmovp[sd]\\s+%ymm\\d+, %ymm\\d+, [^%\\n]*\\(", code)
        print(name, len(stores), "zmm" in code, "vfmadd" in code)
"""


def test_code_for_avx2_has_no_masked_stores(tmp_path):
    """They are microcoded on Zen 1 to 3 (10 ns for 64 bytes, 2.5 for a plain store)."""
    lines = [line.split() for line in run(COUNT, tmp_path, **AVX2).splitlines()]
    assert len(lines) == 14
    for name, stores, has_avx512, has_fma in lines:
        assert (stores, has_avx512, has_fma) == ("0", "False", "True"), name


# The loops of the tiles of products: multiply-adds, masked loads and stores, branches and accesses to the stack of each
TILES = """
import re
import llvmlite.binding as llvm
import numba
import numpy as np
from fastsoftmax.kernels.layer import dense
from fastsoftmax.kernels.simd import pointer

@numba.njit
def logits(X, weight, bias, z):
    dense.logits_block(X, 0, X.shape[0], weight, bias, 0, weight.shape[0], pointer(z))

@numba.njit
def grad_weight(X, z, grad, packed):
    dense.grad_weight_block(z, X, 0, X.shape[0], 0, z.shape[1], False, grad, 0, packed)

def for_arm64(function):
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(cpu="neoverse-n1", opt=3)
    text = function.inspect_llvm(function.signatures[0])
    text = re.sub(r"^target (triple|datalayout) = .*$", "", text, flags=re.M)
    for name in ("NRT_incref", "NRT_decref"):  # x86's own atomic instructions
        definition = rf"^define [^\\n]*@{name}\\([^\\n]*\\{{\\n.*?^\\}}\\n"
        text = re.sub(definition, f"declare void @{name}(ptr)\\n", text, flags=re.S | re.M)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = "aarch64-unknown-linux-gnu", str(machine.target_data)
    return machine.emit_assembly(module)

def loops(code):
    lines, labels = code.splitlines(), {}
    for i, line in enumerate(lines):
        if label := re.match(r"(\\.LBB\\S+):", line):
            labels[label[1]] = i
        back = re.match(r"\\s+(?:j|b\\.|cb|tb)\\S*\\s.*?(\\.LBB\\S+)", line)
        start = labels.get(back[1]) if back else None
        if start is not None and i - start < 150:
            yield lines[start : i + 1]

def count(pattern, body):
    return sum(re.search(pattern, line) is not None for line in body)

X, weight, z = np.ones((12, 64), np.float32), np.ones((10, 64), np.float32), np.ones((12, 10), np.float32)
logits(X, weight, np.ones(10, np.float32), z)
grad_weight(X, z, np.ones_like(weight), np.ones(12 * dense.PACKED, np.float32))
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
for function in (logits, grad_weight):
    code = for_arm64(function) if ARM64 else function.inspect_asm(function.signatures[0])
    for body in loops(code):
        print(function.__name__, count(r"vfmadd|fmla", body), count("vmaskmov", body),
              count(r"\\s(j|b\\.|cb|tb)", body), count(r"\\(%rsp\\)|\\[sp", body))
"""


@pytest.mark.parametrize(("target", "sums"), [("avx2", 12), ("arm64", 24)])
def test_tiles_keep_their_sums_in_registers(target, sums, tmp_path):
    """As many multiply-adds in a turn as there are registers for sums, which stay there (AVX2: 1.7 times as fast)."""
    start = "import sys" if target == "avx2" else like_arm64()
    lines = run(f"ARM64 = {target == 'arm64'}\n{start}\n{TILES}", tmp_path, **AVX2).splitlines()
    found = [(name, *map(int, numbers)) for name, *numbers in map(str.split, lines)]
    whole = {(name, stack) for name, adds, masks, branches, stack in found if (adds, masks, branches) == (sums, 0, 1)}
    assert {name for name, _ in whole} == {"logits", "grad_weight"}
    assert max(stack for _, stack in whole) <= (0 if target == "avx2" else 1)
    # columns that do not fill a register are in tiles of their own, one register wide: all others overlap
    full = [(masks, branches) for name, adds, masks, branches, _ in found if name == "grad_weight" and adds >= sums]
    assert set(full) == {(0, 1)}


GUARDED = """
import ctypes, functools, itertools, mmap
import numpy as np
import fastsoftmax as fs

class Guarded:  # an array that ends, or begins, where the next page cannot be touched
    def __init__(self, like, at_end):
        pages = -(-like.nbytes // mmap.PAGESIZE) + 2
        self.memory = mmap.mmap(-1, pages * mmap.PAGESIZE)
        whole = np.frombuffer(self.memory, np.uint8)
        for page in (0, pages - 1):
            place = ctypes.c_void_p(whole.ctypes.data + page * mmap.PAGESIZE)
            assert ctypes.CDLL(None).mprotect(place, mmap.PAGESIZE, 0) == 0
        start = (pages - 1) * mmap.PAGESIZE - like.nbytes if at_end else mmap.PAGESIZE
        self.array = whole[start : start + like.nbytes].view(like.dtype).reshape(like.shape)
        self.array[...] = like

random = np.random.default_rng(0)
few = itertools.product(("f4", "f8"), (1, 2, 7, 16, 17, 33), [*range(1, 51), 64, 65, 100], (False, True))
on_threads = itertools.product(("f4", "f8"), (5003,), (10, 17, 26, 37), (False, True))  # turns that end amid rows
for dtype, n_rows, n_columns, at_end in itertools.chain(few, on_threads):
    fs.set_num_threads(2 if n_rows > 100 else 1)
    z = random.standard_normal((n_rows, n_columns)).astype(dtype)
    labels = random.integers(0, n_columns, n_rows)
    shown = random.random(z.shape) < 0.7
    calls = [(f, (z,)) for f in (fs.softmax, fs.log_softmax, functools.partial(fs.softmax, where=shown))]
    calls += [(f, (z, z)) for f in (fs.softmax_jvp, fs.log_softmax_jvp, fs.log_softmax_vjp)]
    calls += [(fs.cross_entropy_value_and_grad, (z, labels))]
    for function, arguments in calls:
        expected = function(*arguments)
        apart = [Guarded(a, at_end) for a in arguments]
        for out in (Guarded(np.zeros_like(z), at_end), apart[0]):
            result = function(*(a.array for a in apart), out=out.array)
            np.testing.assert_equal(result, expected)
    np.testing.assert_equal(fs.logsumexp(Guarded(z, at_end).array), fs.logsumexp(z))
print("no fault")
"""


@pytest.mark.parametrize("target", ["this", "avx2"])
def test_nothing_outside_an_array_is_touched(target):
    """A row's last vector may go past its end, but not past the end of the array; in place not even past the row's."""
    assert run(GUARDED, **(AVX2 if target == "avx2" else {})).strip() == "no fault"


# The entry of a whole call, which Python calls, as it would be on a machine of the given triple
ENTRY = """
import re, sys
from types import SimpleNamespace
import llvmlite.binding as llvm
import numpy as np
import fastsoftmax as fs
from fastsoftmax.kernels.jit.entries import add_entry
from fastsoftmax.kernels.jit.numba_internals import cpu_target
from fastsoftmax.kernels.rows import direct

fs.cross_entropy_value_and_grad(np.ones((2, 3)), np.array([0, 1])), fs.softmax(np.ones((2, 3)))
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple(TRIPLE).create_target_machine(opt=3, codemodel="jitdefault", jit=True)
for whole in (direct.cross_entropy_value_and_grad, direct.softmax):
    (result,), library = whole._kernel.overloads.values(), SimpleNamespace()
    library.add_ir_module = lambda module: setattr(library, "text", str(module))
    add_entry(cpu_target.target_context, library, whole._kernel.py_func, result.fndesc)
    module = llvm.parse_assembly(re.sub(r"^target (triple|datalayout) = .*$", "", library.text, flags=re.M))
    module.triple, module.data_layout = TRIPLE, str(machine.target_data)
    print(machine.emit_assembly(module))
"""
TRIPLES = [
    ("aarch64-unknown-linux-gnu", "", r"bl\s+PyTuple_Pack", ["w0, #2", "x1, x", "x2, x"]),
    # what stands for `...` goes on the stack on Apple's arm64 alone
    ("arm64-apple-macosx14.0", "_", r"_PyTuple_Pack@GOTPAGEOFF", ["w0, #2", r"stp\s+x\d+, x\d+, \[sp\]"]),
    ("x86_64-pc-windows-msvc", "", r"\$PyTuple_Pack, %rax", [r"\$2, %ecx", r", %rdx", r", %r8"]),
]


@pytest.mark.parametrize(("triple", "prefix", "call", "arguments"), TRIPLES)
def test_entries_call_python_as_other_machines_do(triple, prefix, call, arguments):
    code = run(f"TRIPLE = {triple!r}\n{ENTRY}")
    lines = code.splitlines()
    at = next(i for i, line in enumerate(lines) if re.search(call, line))
    around = "\n".join(lines[at - 6 : at + 7])
    assert [each for each in arguments if not re.search(each, around)] == []
    called = set(re.findall(r"\b_?Py[A-Z]\w+", code.replace("numpy.Py", "")))
    assert {f"{prefix}PyTuple_Pack", f"{prefix}PyLong_AsLongLongAndOverflow"} < called
    assert {name for name in called if name.startswith("_") != bool(prefix)} == set()
    assert re.search(r"PyLong_AsLong\b", code) is None  # a `long` of Windows has 32 bits
