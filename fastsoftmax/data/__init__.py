"""Rows that need not fit into memory: files, or blocks that a function gives, for `SoftmaxClassifier.fit`.

>>> import numpy as np, tempfile, fastsoftmax as fs
>>> with tempfile.TemporaryDirectory() as folder:
...     for day, rng in enumerate(map(np.random.default_rng, range(3))):
...         X = rng.standard_normal((1000, 5), np.float32)
...         np.savez(f"{folder}/{day}.npz", X=X, y=X.argmax(axis=1))
...     source = fs.data.from_files([f"{folder}/{day}.npz" for day in range(3)])
...     model = fs.SoftmaxClassifier(alpha=0.1).fit(source)
>>> model.score(X, X.argmax(axis=1)) > 0.95
True

All solvers but coordinate-descent take sources: L1 goes by lbfgs, sgd and adam take shuffled runs of rows.

A source is read once in each pass over the rows. A thread reads ahead what comes next while kernels work on what came
before, so that there are two runs of rows in memory at a time, some 32 or 64 MB each (of a sparse matrix 60 to 250
thousand rows).
"""

from fastsoftmax.data.blocks import from_blocks
from fastsoftmax.data.files import from_files
from fastsoftmax.data.source import Source

__all__ = ["Source", "from_blocks", "from_files"]
