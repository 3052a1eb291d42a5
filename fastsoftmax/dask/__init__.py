"""Softmax regression on a cluster of Dask's, from data that no machine holds alone: the extra ``fastsoftmax[dask]``."""

from fastsoftmax.dask.estimator import DaskSoftmaxClassifier

__all__ = ["DaskSoftmaxClassifier"]
