"""Minimise an objective: the loss of a network on data, by gradient descent or a quasi-Newton method."""
