"""What the CPU is like that code is compiled for: the only room that asks for its features.

Each question is asked of a Numba target context while code is written; a vector is 64 bytes on every machine.
"""


def has_mask_registers(context):
    """AVX-512: 32 registers of 64 bytes, and loads and stores under a mask that cost what plain ones do."""
    return "+avx512f" in _features(context)


def has_masked_loads(context):
    """x86 with AVX. On arm64 (NEON and SVE alike) LLVM takes a masked load apart, an element and a branch each."""
    return has_mask_registers(context) or context.codegen().magic_tuple()[0].startswith("x86_64")


def _features(context):
    return context.codegen().magic_tuple()[2].split(",")
