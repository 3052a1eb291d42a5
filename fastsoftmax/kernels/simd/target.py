"""What the CPU is like that code is compiled for: the only file that asks for its features.

Each question is asked of a Numba target context while code is written; a vector is 64 bytes on every machine.
"""

import functools
import re

import llvmlite.binding as llvm

_SUM_OF_INTEGERS = """
define <8 x i32> @sum(<8 x i32> %a, <8 x i32> %b) {
  %c = add <8 x i32> %a, %b
  ret <8 x i32> %c
}
"""


def has_mask_registers(context):
    """AVX-512: 32 registers of 64 bytes, and loads and stores under a mask that cost what plain ones do."""
    return "+avx512f" in _features(context)


def register_bytes(context):
    """How much of a vector one register holds: all of it, or a half (x86 with AVX2), or a quarter (arm64)."""
    return 64 if has_mask_registers(context) else 32 if has_avx2(context) else 16


def has_many_registers(context):
    """32 for vectors; x86 before AVX-512 has 16."""
    return has_mask_registers(context) or is_arm64(context)


def has_avx2(context):
    """Integers in registers of 32 bytes, and with them fused multiply-adds, and a lookup in a table of 8 numbers."""
    return is_x86(context) and _adds_integers_in_32_bytes(*_machine(context.codegen()))


@functools.cache
def _adds_integers_in_32_bytes(triple, cpu, features):
    # LLVM knows it of a CPU by its name: the features that Numba hands on may be an empty text
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features)
    return re.search(r"vpaddd\s.*%ymm", machine.emit_assembly(llvm.parse_assembly(_SUM_OF_INTEGERS))) is not None


def has_masked_loads(context):
    """x86 with AVX. On arm64 (NEON and SVE alike) LLVM takes a masked load apart, an element and a branch each."""
    return is_x86(context)


def converts_halves(context):
    """Whether float16 is widened and rounded by an instruction: every CPU with AVX2 has F16C, and every arm64 it."""
    return has_avx2(context) or is_arm64(context)


def instruction_set(context):
    """The name of what vectors are made of."""
    if is_x86(context):
        return "AVX-512" if has_mask_registers(context) else "AVX2" if has_avx2(context) else "x86-64"
    return "NEON" if is_arm64(context) else "unknown"


def is_x86(context):
    """64 bits."""
    return _triple(context).startswith("x86_64")


def is_arm64(context):
    """Linux says aarch64, Apple arm64."""
    return _triple(context).startswith(("aarch64", "arm64"))


def _triple(context):
    return _machine(context.codegen())[0]


def _features(context):
    return _machine(context.codegen())[2].split(",")


@functools.cache
def _machine(codegen):
    # what LLVM says of it does not change, and takes 0.1 ms
    return codegen.magic_tuple()
