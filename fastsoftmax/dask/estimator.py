"""DaskSoftmaxClassifier: SoftmaxClassifier for Dask's collections."""

from typing import Any, Self

import dask
import dask.array as da
import numpy as np
from distributed import Client, default_client
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier.attributes import kept_until
from fastsoftmax.classifier.estimator import SoftmaxClassifier
from fastsoftmax.classifier.options import check_streams, read_options
from fastsoftmax.classifier.reports import with_callbacks
from fastsoftmax.dask.cluster import ClusterStream, make_block


class DaskSoftmaxClassifier(SoftmaxClassifier):
    """SoftmaxClassifier for dask arrays and dataframes, whose rows stay on the workers of a cluster.

    The solver runs at the client; in each pass over the rows, workers sum loss and gradient of the rows that they have.
    The coefficients are the same, bit for bit, as those of SoftmaxClassifier for the same rows in one array, for any
    chunks and any number of workers, also after some have died.

    Parameters
    ----------
    client : distributed.Client, optional
        By default the one that was made last. It is no parameter that `get_params` gives; clones have the same.
    **parameters
        Those of SoftmaxClassifier. The solver is lbfgs (with L1, too), newton-cg, newton-cholesky or auto; n_threads is
        that of a task, 1 by default, because a worker runs as many tasks at a time as it has threads.

    Attributes
    ----------
    coef_, intercept_, classes_, and all others of SoftmaxClassifier
        Plain arrays and numbers.

    Notes
    -----
    The rows are regrouped once at the start, where chunks do not end at multiples of what kernels sum at a time.

    sgd and adam go from batch to batch, so that workers would wait for one another: for them hand a
    SoftmaxClassifier(solver="sgd") to dask_ml.wrappers.Incremental, which takes it from chunk to chunk by partial_fit.

    If a worker dies, the scheduler makes what it had anew, from what the collections are made of; at the most the pass
    that was under way is done again. An error is raised where workers die in five attempts at a pass, or where there
    has been none for a minute. A KeyboardInterrupt leaves the last good weights.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from fastsoftmax.dask import DaskSoftmaxClassifier
    >>> X = da.random.default_rng(0).standard_normal((1000, 3), chunks=(300, 3))
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     model = DaskSoftmaxClassifier(client).fit(X, X[:, 0] > 0)
    ...     probs = model.predict_proba(X)
    >>> model.coef_.shape, type(probs).__name__
    ((1, 3), 'Array')
    """

    def __init__(self, client: Client | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._client = client

    @classmethod
    def _get_param_names(cls) -> list[str]:
        names: list[str] = SoftmaxClassifier._get_param_names()
        return names

    def __sklearn_clone__(self) -> Self:
        parameters = {name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        return type(self)(self._client, **parameters)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_client": None}

    @property
    def client(self) -> Client:
        """The client that is used: the one given, or else the one that was made last."""
        if self._client is not None:
            return self._client
        try:
            return default_client()
        except ValueError:
            raise ValueError("client must be given, or a distributed.Client be made before") from None

    @kept_until("coefs_")
    @with_callbacks
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, classes: ArrayLike | None = None) -> Self:
        """Find the weights that minimise the objective.

        Parameters
        ----------
        X : dask array or dataframe (n_samples, n_features)
            In any chunks along the rows; blocks may be CSR matrices.
        y : dask array, series or dataframe (n_samples,) or (n_samples, n_classes)
            Labels or probabilities, as in SoftmaxClassifier.
        sample_weight : dask array or series (n_samples,), optional
        classes : array_like (n_classes,), optional
            All classes, some of which y may lack; by default those that y has.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            As SoftmaxClassifier.fit; what is no collection of Dask's.
        RuntimeError
            Workers that die again and again, or are not there.
        """
        options = read_options(vars(self))
        check_streams(options, stochastic=False)
        for name, value in (("X", X), ("y", y), ("sample_weight", sample_weight)):
            if not dask.is_dask_collection(value) and not (name == "sample_weight" and value is None):
                raise TypeError(f"{name} must be a dask array or dataframe, got {type(value).__name__}")
        with self._threads():
            client, delayed = self.client, _blocks(X, y, sample_weight)
            # nothing here keeps the blocks: workers may forget them when they have been regrouped
            stream = ClusterStream(client, client.compute(delayed), self.n_threads or 1, classes)
            meta = X._meta if hasattr(X, "columns") else np.empty((0, stream.found.n_features))
            validate_data(self, meta, reset=True, skip_check_array=True)
            return self._fit_stream(options, stream)

    def predict(self, X: Any) -> Any:
        """The likeliest class of each sample: lazily, in X's chunks, where X is a collection of Dask's."""
        return self._lazily("predict", X) if dask.is_dask_collection(X) else super().predict(X)

    def predict_proba(self, X: Any) -> Any:
        """The probabilities (n_samples, n_classes): lazily, in X's chunks, where X is a collection of Dask's."""
        return self._lazily("predict_proba", X) if dask.is_dask_collection(X) else super().predict_proba(X)

    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms."""
        return self._lazily("predict_log_proba", X) if dask.is_dask_collection(X) else super().predict_log_proba(X)

    def decision_function(self, X: Any) -> Any:
        """The logits, as SoftmaxClassifier has them."""
        return self._lazily("decision_function", X) if dask.is_dask_collection(X) else super().decision_function(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy; computed on the cluster where X is a collection of Dask's."""
        if not dask.is_dask_collection(X):
            return float(super().score(X, y, sample_weight))
        local = dask.delayed(self.to_local(), pure=False)
        scores = [dask.delayed(_score)(local, block) for block in _blocks(X, y, sample_weight)]
        right, total = np.sum(self.client.gather(self.client.compute(scores)), axis=0)
        return float(right / total)

    def to_local(self) -> SoftmaxClassifier:
        """A SoftmaxClassifier with the same parameters and weights, which needs no cluster."""
        local = SoftmaxClassifier(**self.get_params(deep=False))
        local.__dict__.update({name: value for name, value in vars(self).items() if name != "_client"})
        return local

    def _lazily(self, method: str, X: Any) -> Any:
        check_is_fitted(self, "coefs_")
        local, like = self.to_local(), np.zeros((1, self.n_features_in_), self.coefs_[0].dtype)
        example = getattr(SoftmaxClassifier.__mro__[0], method)(_nameless(local), like)
        model = dask.delayed(local, pure=False)
        if hasattr(X, "columns"):
            meta = _framed(example[:0], X._meta.index[:0], local.classes_)
            return X.map_partitions(_answer_frame, model, method, meta=meta)
        X = X.rechunk({1: -1})
        if example.ndim == 1:
            return X.map_blocks(_answer, model, method, dtype=example.dtype, drop_axis=1, meta=example[:0])
        chunks = (X.chunks[0], (example.shape[1],))
        return X.map_blocks(_answer, model, method, dtype=example.dtype, chunks=chunks, meta=example[:0])


def _nameless(model: SoftmaxClassifier) -> SoftmaxClassifier:
    """The model without the names of features, which an example has not."""
    twin = SoftmaxClassifier(**model.get_params(deep=False))
    twin.__dict__.update({name: value for name, value in vars(model).items() if name != "feature_names_in_"})
    return twin


def _answer(X: Any, model: SoftmaxClassifier, method: str) -> Array:
    """What the model says of a block, which may have no rows."""
    if X.shape[0]:
        answer: Array = getattr(model, method)(X)
        return answer
    example: Array = getattr(_nameless(model), method)(np.zeros((1, model.n_features_in_)))
    return example[:0]


def _answer_frame(X: Any, model: SoftmaxClassifier, method: str) -> Any:
    return _framed(_answer(X, model, method), X.index, model.classes_)


def _framed(answer: Array, index: Any, classes: Array) -> Any:
    """As a series, or a dataframe with a column for each class."""
    import pandas as pd

    if answer.ndim == 1:
        return pd.Series(answer, index)
    return pd.DataFrame(answer, index, columns=classes)


def _blocks(X: Any, y: Any, sample_weight: Any) -> list[Any]:
    """Delayed blocks of rows, in the chunks of X."""
    X = X.rechunk({1: -1}) if isinstance(X, da.Array) else X
    columns = [X, *[_in_chunks_of(X, name, v) for name, v in (("y", y), ("sample_weight", sample_weight))]]
    delayed = [_delayed(column) for column in columns if column is not None]
    for name, some in zip(("y", "sample_weight"), delayed[1:], strict=False):
        if len(some) != len(delayed[0]):
            raise ValueError(f"{name} must have as many chunks as X, {len(delayed[0])}, got {len(some)}")
    return [dask.delayed(make_block)(*some) for some in zip(*delayed, strict=True)]


def _in_chunks_of(X: Any, name: str, value: Any) -> Any:
    """The column in the chunks of X, where all of their lengths are known; else it must have them."""
    if not isinstance(value, da.Array):
        return value
    if value.ndim == 2:
        value = value.rechunk({1: -1})
    if isinstance(X, da.Array) and not np.isnan([*X.chunks[0], *value.chunks[0]]).any():
        if X.shape[0] != value.shape[0]:
            raise ValueError(f"{name} must have as many rows as X, {X.shape[0]}, got {value.shape[0]}")
        value = value.rechunk({0: X.chunks[0]})
    return value


def _delayed(column: Any) -> list[Any]:
    delayed = column.to_delayed()
    return delayed.ravel().tolist() if isinstance(delayed, np.ndarray) else list(delayed)


def _score(model: SoftmaxClassifier, block: Any) -> tuple[float, float]:
    """The weight of the samples that are right, and of all."""
    weight = np.ones(len(block.y)) if block.sample_weight is None else block.sample_weight
    if not len(weight):
        return 0.0, 0.0
    return float(weight @ (_nameless(model).predict(block.X) == block.y)), float(weight.sum())
