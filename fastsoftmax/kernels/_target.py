"""What the CPU is like that code is compiled for: the only room that asks for its features.

Each question is asked of a Numba target context while code is written; a vector is 64 bytes on every machine.
"""


def has_mask_registers(context):
    """AVX-512: 32 registers of 64 bytes, and loads and stores under a mask that cost what plain ones do."""
    return "+avx512f" in _features(context)


def has_masked_loads(context):
    """x86 with AVX. On arm64 (NEON and SVE alike) LLVM takes a masked load apart, an element and a branch each."""
    return is_x86(context)


def is_x86(context):
    """64 bits."""
    return _triple(context).startswith("x86_64")


def is_arm64(context):
    """Linux says aarch64, Apple arm64."""
    return _triple(context).startswith(("aarch64", "arm64"))


def _triple(context):
    return context.codegen().magic_tuple()[0]


def _features(context):
    return context.codegen().magic_tuple()[2].split(",")
