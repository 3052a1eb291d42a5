"""The weights of a linear model: shown, taken from elsewhere, held as a sparse matrix."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastsoftmax._gate.arrays import Array, Shape, check_shape, real_array, result_dtypes
from fastsoftmax.classifier import attributes
from fastsoftmax.classifier.fitted import FittedClassifier
from fastsoftmax.classifier.options import dense_coefs, hidden_sizes


def _is_linear(classifier: "LinearClassifier") -> bool:
    if hidden_sizes(classifier.hidden_layer_sizes):
        raise AttributeError("only a model without hidden layers has a coef_, which can be set, or sparse")
    return True


def _weights(name: str, value: Any, shape: Shape | None = None, dtype: Any = None) -> Any:
    """A copy of the value in the dtype, by default its own; shape: the one that it must have, if any."""
    array = real_array(name, value)
    if shape is None and array.ndim != 2:
        raise ValueError(f"{name} must have shape (n_classes, n_features), or (1, n_features), got {array.shape}")
    check_shape(name, array, array.shape if shape is None else shape)
    return np.array(array, dtype or result_dtypes(array.dtype)[1], order="C")


class LinearClassifier(FittedClassifier):
    """The part of SoftmaxClassifier that is there without hidden layers."""

    @property
    def coef_(self) -> Array:
        """Weights of a linear model, (n_classes, n_features) or (1, n_features)."""
        return self._only_layer("coef_", self.coefs_).T

    @coef_.setter
    def coef_(self, coef: Any) -> None:
        """Weights from elsewhere; without a fit they come first, and then intercept_ and classes_."""
        if "coefs_" in vars(self):
            present = self._only_layer("coef_", self.coefs_).T
            self.coefs_, self.temperature_ = [_weights("coef_", coef, present.shape, present.dtype).T], 1.0
        elif _is_linear(self):
            for name, value in attributes.of_coef(_weights("coef_", coef)).items():
                setattr(self, name, value)

    @property
    def intercept_(self) -> Array:
        """Biases of a linear model, (n_classes,) or (1,)."""
        return self._only_layer("intercept_", self.intercepts_)

    @intercept_.setter
    def intercept_(self, intercept: ArrayLike) -> None:
        """Biases from elsewhere, for the weights that are there."""
        if "intercepts_" not in vars(self):
            raise AttributeError("intercept_ can be set after coef_, or after fit")
        present = self._only_layer("intercept_", self.intercepts_)
        self.intercepts_, self.temperature_ = [_weights("intercept_", intercept, present.shape, present.dtype)], 1.0

    @available_if(_is_linear)
    def sparsify(self) -> Self:
        """Hold coef_ as a scipy.sparse CSR matrix, which takes less memory where most coefficients are 0.

        Returns
        -------
        self

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> from sklearn.datasets import load_iris
        >>> model = fs.SoftmaxClassifier(alpha=50.0, l1_ratio=1.0).fit(*load_iris(return_X_y=True)).sparsify()
        >>> model.coef_.shape, model.coef_.nnz < 6
        ((3, 4), True)
        """
        check_is_fitted(self, "coefs_")
        self.coefs_ = [csr_array(coef.T).T for coef in self.coefs_]
        return self

    @available_if(_is_linear)
    def densify(self) -> Self:
        """Hold coef_ as an ndarray, as after fit.

        Returns
        -------
        self

        Examples
        --------
        >>> import fastsoftmax as fs
        >>> model = fs.SoftmaxClassifier().fit([[0.0], [1.0]], ["a", "b"]).sparsify().densify()
        >>> type(model.coef_).__name__
        'ndarray'
        """
        check_is_fitted(self, "coefs_")
        self.coefs_ = dense_coefs(self.coefs_)
        return self

    def _only_layer(self, name: str, arrays: list[Array]) -> Array:
        if len(arrays) > 1:
            raise AttributeError(f"a network with hidden layers has no {name}: see coefs_ and intercepts_")
        return arrays[0]
