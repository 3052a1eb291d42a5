"""The version of the package, apart so that a build can read it without importing Numba."""

__version__ = "0.1.0"
