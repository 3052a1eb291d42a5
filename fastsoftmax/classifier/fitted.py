"""What else a fitted classifier does: it is saved and loaded, and shows the weights of a linear model.

Its attributes are those that estimator.py sets in fit; prediction.py has what it predicts, state.py and model_file.py
have the file.
"""

import os
from typing import Any, Self

from scipy.sparse import csr_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from fastsoftmax._gate.arrays import Array
from fastsoftmax.classifier import model_file
from fastsoftmax.classifier.options import dense_coefs, hidden_sizes
from fastsoftmax.classifier.prediction import PredictingClassifier
from fastsoftmax.classifier.state import fitted_of, state_of


def _is_linear(classifier: "FittedClassifier") -> bool:
    if hidden_sizes(classifier.hidden_layer_sizes):
        raise AttributeError("only a model without hidden layers has a coef_ that can be sparse")
    return True


class FittedClassifier(PredictingClassifier):
    """The part of SoftmaxClassifier that needs its weights."""

    hidden_layer_sizes: Any

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted classifier to a file: a .npz of plain arrays, without a pickled object.

        Parameters
        ----------
        path : str or path-like
            Whatever is there is replaced at the end, or stays whole if writing fails.

        Raises
        ------
        NotFittedError
        TypeError
            Classes that are neither numbers nor text.
        OSError
            The file cannot be written.

        Examples
        --------
        >>> import os, tempfile, fastsoftmax as fs
        >>> model = fs.SoftmaxClassifier().fit([[0.0], [1.0]], ["a", "b"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.npz"))
        ...     os.listdir(folder)
        ['model.npz']
        """
        check_is_fitted(self, "coefs_")
        model_file.write(path, *state_of(self.get_params(deep=False), vars(self)))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a classifier that `save` has written; no code in the file is run, whatever it holds.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        SoftmaxClassifier
            Fitted, with the same parameters; a random_state that was no integer is None.

        Raises
        ------
        ModelFormatError
            The file is no such model, or damaged.
        OSError
            It cannot be read.

        Examples
        --------
        >>> import os, tempfile, fastsoftmax as fs
        >>> model = fs.SoftmaxClassifier().fit([[0.0], [1.0]], ["a", "b"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.npz"))
        ...     fs.SoftmaxClassifier.load(os.path.join(folder, "model.npz")).predict([[0.9]])
        array(['b'], dtype='<U1')
        """
        params, fitted = fitted_of(set(cls._get_param_names()), *model_file.read(path))
        model = cls(**params)
        for name, value in fitted.items():
            setattr(model, name, value)
        return model

    @property
    def coef_(self) -> Array:
        """Weights of a linear model, (n_classes, n_features) or (1, n_features)."""
        return self._only_layer("coef_", self.coefs_).T

    @property
    def intercept_(self) -> Array:
        """Biases of a linear model, (n_classes,) or (1,)."""
        return self._only_layer("intercept_", self.intercepts_)

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
