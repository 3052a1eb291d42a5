"""What a classifier does that has weights: it answers, is calibrated, saved and loaded.

Its attributes are those that estimator.py sets in fit; inference.py has the arithmetic, state.py and model_file.py have
the file.
"""

import contextlib
import os
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsoftmax import functional
from fastsoftmax._gate.arrays import Array
from fastsoftmax._threads import num_threads
from fastsoftmax.classifier import model_file
from fastsoftmax.classifier.inference import Question, is_plain, likeliest_of, logits_of, logits_of_classes, probs_of
from fastsoftmax.classifier.labels import is_soft, plain_labels, read_known_labels
from fastsoftmax.classifier.options import dense_coefs, hidden_sizes
from fastsoftmax.classifier.samples import checked_samples
from fastsoftmax.classifier.state import fitted_of, state_of
from fastsoftmax.data.source import refuse_source
from fastsoftmax.functional.inference import is_finite
from fastsoftmax.training.network import layer_inputs


def _is_linear(classifier: "FittedClassifier") -> bool:
    if hidden_sizes(classifier.hidden_layer_sizes):
        raise AttributeError("only a model without hidden layers has a coef_ that can be sparse")
    return True


class FittedClassifier(ClassifierMixin, BaseEstimator):
    """The part of SoftmaxClassifier that needs its weights."""

    activation: str
    hidden_layer_sizes: Any
    n_threads: int | None
    classes_: Array
    coefs_: list[Any]
    intercepts_: list[Array]
    n_outputs_: int
    temperature_: float

    def _threads(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext() if self.n_threads is None else num_threads(self.n_threads)

    def _answer(self, X: Any, question: Question) -> Array:
        """What a question (inference.py) makes of the last layer, for samples that scikit-learn's checks let pass."""
        with self._threads():
            if is_plain(X, vars(self)):
                answer, shows_finite = question(*self._last_layer(X))
                if shows_finite or is_finite(X):
                    return answer
            check_is_fitted(self, "coefs_")
            refuse_source(X)
            X = checked_samples(X)
            X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=[np.float64, np.float32], order="C")
            return question(*self._last_layer(X))[0]

    def _last_layer(self, X: Any) -> tuple[Any, Any, Array]:
        """What the last layer is given, its weight (n_outputs_, n_in), sparse after `sparsify`, and its bias."""
        layers = [(coef.T, intercept) for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)]
        return layer_inputs(X, layers, self.activation)[-1], *layers[-1]

    def decision_function(self, X: ArrayLike) -> Array:
        """Logits.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes), or (n_samples,) for two classes
            Not divided by temperature_.

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> (model.decision_function(X) > 0).tolist()  # of two classes one number, that of the second, "low"
        [True, True, False, False]
        """
        logits = self._answer(X, logits_of)
        return logits.ravel() if self.n_outputs_ == 1 else logits

    def predict(self, X: ArrayLike) -> Array:
        """The most probable class of each sample.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples,)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.predict([[0.2], [2.7]])
        array(['low', 'high'], dtype='<U4')
        """
        best = self._answer(X, likeliest_of)
        return self.classes_[best]

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities of the classes, in the order of classes_.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.classes_
        array(['high', 'low'], dtype='<U4')
        >>> model.predict_proba([[1.5]]).round(3)
        array([[0.5, 0.5]])
        """
        return self._answer(X, lambda *layer: probs_of("softmax", self.temperature_, *layer))

    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Logarithms of the probabilities, which stay finite where those are 0.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.predict_proba([[1e6]])[0, 1], np.isfinite(model.predict_log_proba([[1e6]])).all()
        (np.float64(0.0), np.True_)
        """
        return self._answer(X, lambda *layer: probs_of("log_softmax", self.temperature_, *layer))

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy: the share of the samples whose predicted class is right.

        Parameters
        ----------
        X : array_like or scipy.sparse (n_samples, n_features)
        y : array_like (n_samples,) or (n_samples, n_classes)
            Of probabilities, the most probable class counts.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        float

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array(["low", "low", "high", "high"])
        >>> model = fs.SoftmaxClassifier(alpha=0.1).fit(X, y)
        >>> model.score(X, y), model.score([[0.2], [2.7]], ["low", "low"])
        (1.0, 0.5)
        """
        y = plain_labels(y)
        predicted = self.predict(X)
        right = self.classes_[read_known_labels(y, np.float64, self.classes_).hard] if is_soft(y) else y
        return float(accuracy_score(right, predicted, sample_weight=sample_weight))

    def fit_temperature(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Calibrate predict_proba by a temperature (Guo et al. 2017), on samples that were not trained on.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`; y with classes that are known.

        Returns
        -------
        self
            With temperature_; what is predicted does not change.

        Examples
        --------
        >>> import numpy as np, fastsoftmax as fs
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> model = fs.SoftmaxClassifier(alpha=1e-3).fit(X, y)  # sure of itself
        >>> model.fit_temperature([[0.0], [1.2], [2.0], [1.4]], [0, 0, 1, 1]).temperature_ > 1
        True
        """
        logits = self._answer(X, logits_of_classes)
        labels = read_known_labels(y, logits.dtype, self.classes_)
        self.temperature_ = functional.fit_temperature(logits, labels.targets, sample_weight=sample_weight)
        return self

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

    def __sklearn_tags__(self) -> Any:
        """Sparse X is taken."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
