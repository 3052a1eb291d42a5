"""Models on disk: they come back as they were, nothing half-written is left, and no file runs code or is believed."""

import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from helpers import rng, same_bits
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

import fastsoftmax as fs
from fastsoftmax import _model_file
from fastsoftmax._model_file import ModelFormatError, read, write

ARRAYS = {
    "f32": rng().standard_normal((3, 4)).astype(np.float32),
    "fortran": np.asfortranarray(rng(1).standard_normal((3, 4))),
    "big_endian": np.arange(5, dtype=">i4"),
    "text": np.array(["a", "", "größer"]),
    "raw": np.array([b"a", b"bcd"]),
    "flags": np.array([True, False]),
    "empty": np.empty((0, 3)),
    "scalar": np.array(2.5),
    "dates": np.array(["2020-01-01"], "M8[D]"),
}
HEADER = {"number": 1, "nothing": None, "list": [1, "b", 0.1], "nan": float("inf")}


def saved(path, arrays=ARRAYS):
    write(path, HEADER, arrays)
    return path.read_bytes()


def test_a_round_trip(tmp_path):
    saved(tmp_path / "model")
    header, arrays = read(tmp_path / "model")
    assert header == HEADER
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert same_bits(arrays[name], array.astype(array.dtype.newbyteorder("=")))
        assert arrays[name].flags.writeable
        assert arrays[name].flags.f_contiguous == array.flags.f_contiguous
    with np.load(tmp_path / "model", allow_pickle=False) as plain:  # it is a plain .npz
        assert same_bits(plain["f32"], ARRAYS["f32"])


def test_objects_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TypeError, match="b holds objects"):
        write(tmp_path / "model", {}, {"a": np.zeros(2), "b": np.array([None])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["os.replace", "os.fsync", "zipfile.ZipFile.writestr"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    before = saved(tmp_path / "model")

    def fail(*_, **__):
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fail)
        with pytest.raises(OSError, match="the disk is full"):
            write(tmp_path / "model", {}, {"a": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model").read_bytes() == before


def test_what_is_written_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    happened, replace, sync = [], os.replace, os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (happened.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (happened.append("replace"), replace(a, b)))
    saved(tmp_path / "model")
    assert happened[:2] == ["sync", "replace"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_permissions_are_those_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        saved(tmp_path / "model")
    finally:
        os.umask(before)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o640


def test_a_truncated_file(tmp_path):
    content = saved(tmp_path / "model")
    for length in range(0, len(content), 37):
        (tmp_path / "model").write_bytes(content[:length])
        with pytest.raises(ModelFormatError):
            read(tmp_path / "model")


def test_an_altered_byte_is_told_or_changes_nothing(tmp_path):
    content, told = bytearray(saved(tmp_path / "model")), 0
    for position in rng(2).choice(len(content), 400, replace=False):
        altered = content.copy()
        altered[position] ^= 1 << int(position % 8)
        (tmp_path / "model").write_bytes(altered)
        try:
            header, arrays = read(tmp_path / "model")
        except ModelFormatError:
            told += 1
            continue
        assert header == HEADER
        assert all(same_bits(arrays[n], a.astype(a.dtype.newbyteorder("="))) for n, a in ARRAYS.items())
    assert told > 300


def rezipped(content, compression=zipfile.ZIP_STORED, twice=False, **changes):
    """The file with other members; a value of None leaves one out."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compression) as new:
        members = {info.filename: old.read(info) for info in old.infolist()} | changes
        for name, member in members.items():
            if member is not None:
                new.writestr(name, member)
        if twice:
            with pytest.warns(UserWarning, match="Duplicate name"):
                new.writestr("f32.npy", members["f32.npy"])
    return file.getvalue()


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


class Bomb:
    """What leaves a mark if it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_hostile_files(tmp_path):
    content, mark = saved(tmp_path / "model"), tmp_path / "mark"
    pickled = npy(np.array([Bomb(mark)], object), allow_pickle=True)
    huge = npy(np.zeros(3)).replace(b"(3,)", b"(9,)")
    enormous = bytearray(npy(np.zeros(3)))
    start = enormous.index(b"(3,), }")
    enormous[start : start + 24] = b"(999999999999999,), }   "
    files = {
        "nothing": b"",
        "text": b"hello",
        "a pickle": pickle.dumps(Bomb(mark)),
        "a pickle inside": rezipped(content, **{"f32.npy": pickled}),
        "a pickled header": rezipped(content, **{"header.npy": pickled}),
        "another name": rezipped(content, **{"../evil.npy": npy(np.zeros(3))}),
        "no header": rezipped(content, **{"header.npy": None}),
        "a member is missing": rezipped(content, **{"f32.npy": None}),
        "one more member": rezipped(content, more=npy(np.zeros(3))),
        "one more array": rezipped(content, **{"more.npy": npy(np.zeros(3))}),
        "compressed": rezipped(content, zipfile.ZIP_DEFLATED),
        "a bomb": rezipped(content, zipfile.ZIP_DEFLATED, **{"bomb.npy": npy(np.zeros(10**6))}),
        "a name twice": rezipped(content, twice=True),
        "a wrong shape": rezipped(content, **{"f32.npy": huge}),
        "an enormous shape": rezipped(content, **{"f32.npy": bytes(enormous)}),
        "a .npz of others": rezipped(content, **{"header.npy": npy(np.arange(3, dtype=np.uint8))}),
        "deep JSON": rezipped(content, **{"header.npy": npy(np.frombuffer(b"[" * 10**5, np.uint8))}),
        "no UTF-8": rezipped(content, **{"header.npy": npy(np.frombuffer(b"\xff\xfe", np.uint8))}),
    }
    for what, hostile in files.items():
        (tmp_path / "model").write_bytes(hostile)
        with pytest.raises(ModelFormatError):
            read(tmp_path / "model")
        assert not mark.exists(), what


def test_another_version_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(_model_file, "VERSION", 2)
    saved(tmp_path / "model")
    monkeypatch.undo()
    with pytest.raises(ModelFormatError, match="version 2"):
        read(tmp_path / "model")


def test_a_file_that_cannot_be_read_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (NAMES[Y], {"class_weight": {"setosa": 2.0, "virginica": 0.5, "versicolor": 1}, "alpha": np.float64(0.5)}),
        (NAMES.astype(object)[Y], {"hidden_layer_sizes": (5,), "max_iter": 1000, "tol": 1e-3}),
        (Y == 1, {"solver": "adam", "tol": 1e-2, "random_state": 3}),
        (Y - 7, {"solver": "newton-cg", "random_state": np.random.RandomState(3)}),
    ],
    ids=["text", "objects", "bool", "negative"],
)
def test_a_classifier_comes_back(tmp_path, labels, options):
    model = fs.SoftmaxClassifier(**options).fit(X, labels)
    model.temperature_ = 1.7
    model.save(tmp_path / "iris.model")
    again = fs.SoftmaxClassifier.load(tmp_path / "iris.model")
    assert [path.name for path in tmp_path.iterdir()] == ["iris.model"]
    assert same_bits(again.predict_proba(X), model.predict_proba(X))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert again.classes_.dtype == model.classes_.dtype
    kept = model.get_params() | ({"random_state": None} if "newton-cg" in options.values() else {})
    assert again.get_params() == kept
    assert type(again.hidden_layer_sizes) is tuple
    assert set(vars(again)) == set(vars(model))
    for name in ("n_iter_", "loss_", "best_loss_", "loss_curve_", "t_", "n_features_in_", "n_layers_", "n_outputs_"):
        assert getattr(again, name) == getattr(model, name)
    if model.solver == "adam":  # it goes on as if it had never left
        assert same_bits(again.partial_fit(X, labels).coef_, model.partial_fit(X, labels).coef_)


def test_feature_names_come_back(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = fs.SoftmaxClassifier().fit(frame, Y)
    model.save(tmp_path / "model")
    again = fs.SoftmaxClassifier.load(tmp_path / "model")
    assert list(again.feature_names_in_) == list("abcd")
    assert same_bits(again.predict_proba(frame), model.predict_proba(frame))


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(NotFittedError):
        fs.SoftmaxClassifier().save(tmp_path / "model")
    model = fs.SoftmaxClassifier().fit(X, NAMES.astype(object)[Y])
    model.classes_ = np.array([(1,), (2,), (3,), None], object)[:3]
    with pytest.raises(TypeError, match="classes_ holds objects that are not str"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_well_made_file_of_something_else(tmp_path):
    """Digest and all: what it holds is looked at, too."""
    model = fs.SoftmaxClassifier(solver="adam", tol=1e-2).fit(X, Y)
    model.save(tmp_path / "model")
    header, arrays = read(tmp_path / "model")
    text = json.dumps(header)

    def spoiled(change):
        other, some = json.loads(text), dict(arrays)
        change(other, some)
        return other, some

    for change in (
        lambda h, a: a.pop("coefs_0"),
        lambda h, a: a.pop("classes_"),
        lambda h, a: a.update(coefs_0=np.zeros((3, 3))),
        lambda h, a: a.update(coefs_0=np.zeros((4, 3), np.int64)),
        lambda h, a: a.update(intercepts_0=np.zeros((3, 1))),
        lambda h, a: a.update(classes_=np.arange(2)),
        lambda h, a: a.update(descent_moment=np.zeros(3)),
        lambda h, a: a.update(more=np.zeros(3)),
        lambda h, a: a.update(feature_names_in_=np.array(["a"])),
        lambda h, a: h.pop("params"),
        lambda h, a: h["params"].pop("alpha"),
        lambda h, a: h["params"].update(evil=1),
        lambda h, a: h.pop("n_iter_"),
        lambda h, a: h.update(n_features_in_=9),
        lambda h, a: h.update(params=3),
    ):
        write(tmp_path / "model", *spoiled(change))
        with pytest.raises(ModelFormatError, match="does not hold a SoftmaxClassifier"):
            fs.SoftmaxClassifier.load(tmp_path / "model")
