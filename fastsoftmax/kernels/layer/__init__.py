"""Kernels of dense layers: products, passes over the rows of X, a layer or a network with a loss on top."""
