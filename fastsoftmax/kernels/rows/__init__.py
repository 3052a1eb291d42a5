"""Kernels over the rows of a matrix: softmax, its Jacobian's products, losses and their Hessians."""
