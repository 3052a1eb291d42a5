"""Rows that need not fit into memory: files, or blocks that a function gives, for `SoftmaxClassifier.fit`.

A source is read once in each pass over the rows. A thread reads ahead what comes next while kernels work on what came
before, so that there are two runs of rows in memory at a time, some 32 or 64 MB each (of a sparse matrix 60 to 250
thousand rows).
"""

from fastsoftmax.data.blocks import from_blocks
from fastsoftmax.data.files import from_files
from fastsoftmax.data.source import Source

__all__ = ["Source", "from_blocks", "from_files"]
