"""Kernels of solvers: steps of gradient descent, other coordinates of the parameters."""
