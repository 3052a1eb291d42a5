"""What is compiled is told while it lasts, and nothing where nothing is compiled."""

import pytest
from helpers import JIT

from fastsoftmax.cli import compiling
from fastsoftmax.kernels.jit import kernel


@pytest.mark.skipif(not JIT, reason="without the JIT nothing is compiled")
def test_what_is_compiled_is_told(monkeypatch):
    monkeypatch.setattr(compiling, "SECONDS", 0.0)
    lines = []

    @kernel
    def one_more(x):
        return x + 1

    with compiling.told(lines.append):
        one_more(1)
        one_more(2)
    one_more(1.5)
    assert lines == ["compiling, so far 1 functions: one_more ..."]
