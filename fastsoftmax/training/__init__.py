"""Minimise an objective: the loss of a network on data, by gradient descent, L-BFGS or Newton's method."""
