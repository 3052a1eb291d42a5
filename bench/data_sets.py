"""What the classifiers are trained on: scikit-learn's small data sets, and two large ones that are made."""

from functools import cache
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import StandardScaler

from fastsoftmax.cli.races.layers import NONZEROS, SPARSE

BUNDLED = {"breast_cancer": load_breast_cancer, "digits": load_digits, "iris": load_iris, "wine": load_wine}


@cache
def data_of(data_set: str, dtype: str) -> tuple[Any, np.ndarray]:
    """X (N, D) in the dtype, dense or CSR, and y (N,) of 0 to C - 1, of a name: "digits", "digits by 16",
    "iris standardised", ..., "made large", "newsgroups large".
    """
    X, y = _made(data_set) if "large" in data_set else _bundled(data_set)
    return X.astype(dtype), y


def is_sparse(data_set: str) -> bool:
    """Whether its X is CSR."""
    return data_set == "newsgroups large"


def _bundled(data_set: str) -> tuple[np.ndarray, np.ndarray]:
    name, _, scaling = data_set.partition(" ")
    X, y = BUNDLED[name](return_X_y=True)
    if scaling == "standardised":
        X = StandardScaler().fit_transform(X)
    return X / 16 if scaling == "by 16" else X, y


@cache
def _made(data_set: str) -> tuple[Any, np.ndarray]:
    _made.cache_clear(), data_of.cache_clear()  # hundreds of megabytes
    if data_set == "made large":
        return make_classification(60000, 784, n_informative=100, n_classes=10, random_state=0)
    return _newsgroups(np.random.default_rng(0), *SPARSE[0])


def _newsgroups(rng: np.random.Generator, n_samples: int, n_features: int, n_classes: int) -> tuple[Any, np.ndarray]:
    """Like 20 newsgroups: words by Zipf's law, TF-IDF, rows of length 1; labels drawn by a random linear teacher."""
    n_words = NONZEROS + 8  # some come twice
    frequency = 1 / np.arange(1, n_features + 1) ** 0.8
    names = rng.permutation(n_features).astype(np.int32)
    words = names[rng.choice(n_features, n_samples * n_words, p=frequency / frequency.sum())]
    texts = np.repeat(np.arange(n_samples, dtype=np.int32), n_words)
    counts = scipy.sparse.coo_matrix((np.ones(len(words)), (texts, words)), (n_samples, n_features)).tocsr()
    X = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    X.indices, X.indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int32, copy=False)
    logits = X @ rng.standard_normal((n_features, n_classes)) * 8
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
