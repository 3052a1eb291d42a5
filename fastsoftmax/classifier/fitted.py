"""What else a fitted classifier does: it is saved and loaded.

Its attributes are those that estimator.py sets in fit; prediction.py has what it predicts, state.py and model_file.py
have the file.
"""

import os
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

from fastsoftmax.classifier import model_file
from fastsoftmax.classifier.prediction import PredictingClassifier
from fastsoftmax.classifier.state import fitted_of, state_of


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
