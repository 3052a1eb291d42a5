"""The file of a model: what is written comes back, a failure leaves what was there, and no other file is believed."""

import errno
import io
import json
import os
import pickle
import stat
import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers import rng

from fastsoftmax import ModelFormatError
from fastsoftmax.classifier import model_file
from fastsoftmax.classifier.model_file import read, write

HEADER = {
    "params": {"alpha": 1.0, "hidden_layer_sizes": [5, 3], "class_weight": None, "nested": {"a": [{}, [], ""]}},
    "n_iter_": 10**30, "loss_": 0.1 + 0.2, "tiny": 5e-324, "minus_zero": -0.0, "yes": True, "no": False,
    "text": "Zürich \U0001f40d \ud800 \x00 \" \\",
}  # fmt: skip
NUMBERS = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "F", "D", "G"]
OTHERS = ["U1", "U7", "S1", "S7", "M8[ns]", "M8[D]", "M8[25s]", "m8[us]", "M8", "m8"]
ARRAYS = {
    "coefs_0": rng().standard_normal((3, 4)),
    "classes_": np.array(["setosa", "Zürich", ""]),
    "counts": np.arange(5),
}


def values(dtype, shape=(2, 3)):
    """An array of the dtype whose elements differ."""
    codes = np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    return (codes % 2 if dtype == "?" else codes).astype(dtype)


def same(found, expected):
    """Whether two dicts of arrays have the same names, dtypes in native order, shapes and bytes."""
    return found.keys() == expected.keys() and all(
        array.dtype == expected[name].dtype.newbyteorder("=")
        and array.shape == expected[name].shape
        and (array.dtype.char in "gG" or array.tobytes() == expected[name].astype(array.dtype).tobytes())
        and (array.dtype.char not in "gG" or np.array_equal(array, expected[name]))  # their padding is anything
        for name, array in found.items()
    )


def refused(path, match=None):
    """Whether reading raises a ModelFormatError that names the file, of no other class and no endless text."""
    with pytest.raises(ModelFormatError, match=match) as caught:
        read(path)
    return str(path) in str(caught.value) and len(str(caught.value)) < len(str(path)) + 400


def short(value):
    """A name for a case of a test."""
    return repr(value)[:30]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def saved(path):
    write(path, HEADER, ARRAYS)
    return path


# What is written comes back


@pytest.mark.parametrize("dtype", NUMBERS + OTHERS)
def test_every_dtype_comes_back_in_native_order(path, dtype):
    array = values(dtype)
    arrays = {"native": array, "scalar": array[0, :1].reshape(()), "none": array[:0]}
    foreign = array.astype(array.dtype.newbyteorder(">" if sys.byteorder == "little" else "<"))
    write(path, {}, {**arrays, "foreign": foreign})
    header, found = read(path)
    assert header == {}
    assert same(found, {**arrays, "foreign": array})
    assert all(array.dtype.isnative and array.flags.writeable and array.flags.owndata for array in found.values())


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 3), (3, 0, 2), (1, 1), (2, 3, 4), (1,) * 20])
def test_every_shape_and_order_comes_back(path, shape):
    array = values("f8", shape)
    arrays = {
        "C": array,
        "F": np.asfortranarray(array),
        "backwards": array[tuple(slice(None, None, -1) for _ in shape)],
    }
    text = {f"{name}_text": array.astype("U3", order="A") for name, array in arrays.items()}
    bools = {f"{name}_bool": (array % 2 > 0).astype("?", order="A") for name, array in arrays.items()}
    arrays = {**arrays, **text, **bools}
    write(path, {}, arrays)
    found = read(path)[1]
    assert same(found, arrays)
    for name, array in arrays.items():
        if name.startswith(("C", "F")):
            assert found[name].flags.c_contiguous == array.flags.c_contiguous
            assert found[name].flags.f_contiguous == array.flags.f_contiguous


def test_values_are_kept_to_the_bit(path):
    odd = np.array([0x7FF0000000000001, 0xFFF8000000000123, 0x8000000000000000, 1], np.uint64).view(np.float64)
    arrays = {"odd": odd, "text": np.array(["\ud800", "\U0010ffff", "a\x00b"]), "bytes": np.array([b"\xff\x00\x80"])}
    write(path, {}, arrays)
    assert same(read(path)[1], arrays)


def test_the_header_comes_back(path):
    write(path, {**HEADER, "tuple": (1, 2), "numpy": np.float64(0.1)}, {})
    header, found = read(path)
    assert header == {**HEADER, "tuple": [1, 2], "numpy": 0.1}
    assert found == {}
    assert [str(header["minus_zero"]), type(header["yes"]), type(header["n_iter_"])] == ["-0.0", bool, int]
    write(path, {"nan": float("nan"), "infinite": [float("inf"), float("-inf")]}, {})
    header = read(path)[0]
    assert np.isnan(header["nan"])
    assert header["infinite"] == [float("inf"), float("-inf")]


def test_it_is_a_npz_of_plain_members(saved):
    with np.load(saved, allow_pickle=False) as archive:
        assert same({name: archive[name] for name in ARRAYS}, ARRAYS)
        told = json.loads(archive["header"].tobytes())
    assert [told["format"], told["version"], told["header"]] == ["fastsoftmax.SoftmaxClassifier", 1, HEADER]
    with zipfile.ZipFile(saved) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_one_model_makes_one_file(saved, tmp_path):
    write(str(tmp_path / "again"), HEADER, ARRAYS)
    assert saved.read_bytes() == (tmp_path / "again").read_bytes()


# What cannot be written is refused before anything is


@pytest.mark.parametrize(
    ("header", "arrays", "error", "match"),
    [
        ({}, {"fine": np.zeros(2), "names": np.array(["a", 1], object)}, TypeError, "^names holds .* dtype object"),
        ({}, {"pairs": np.zeros(2, [("x", "f8"), ("y", "O")])}, TypeError, "^pairs holds"),
        ({}, {"pairs": np.zeros(2, [("x", "f8")])}, TypeError, "^pairs holds"),
        ({}, {"raw": np.zeros(2, "V8")}, TypeError, "^raw holds"),
        ({}, {"nothing": np.ndarray((3,), "U0", b"")}, TypeError, "^nothing holds"),
        ({}, {"header": np.zeros(2)}, ValueError, "'header'"),
        ({}, {"a/b": np.zeros(2)}, ValueError, "'a/b'"),
        ({}, {"../a": np.zeros(2)}, ValueError, r"'\.\./a'"),
        ({}, {"": np.zeros(2)}, ValueError, "''"),
        ({}, {"a\n": np.zeros(2)}, ValueError, "name"),
        ({"a": [{10: 1, 9: 2}]}, {}, TypeError, "keys that are str, got .*10"),
        ({"a": {"b": {None: 1}}}, {}, TypeError, "keys that are str"),
        ({"a": np.zeros(2)}, {}, TypeError, "JSON"),
        ({"a": {1}}, {}, TypeError, "JSON"),
    ],
)
def test_what_would_not_come_back_is_refused(saved, header, arrays, error, match):
    before = saved.read_bytes()
    with pytest.raises(error, match=match):
        write(saved, header, arrays)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["model"]
    with pytest.raises(error, match=match):
        write(saved.parent / "other", header, arrays)
    assert os.listdir(saved.parent) == ["model"]


# Whole or not at all


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "zipfile.ZipFile.writestr", "zipfile.ZipFile.close"])
@pytest.mark.parametrize("there", [True, False])
def test_a_failure_leaves_what_was_there_and_nothing_else(monkeypatch, path, step, error, there):
    if there:
        write(path, {}, {})
    before = path.read_bytes() if there else None
    seen = []

    def fail(*arguments, **_):
        seen.append(os.listdir(path.parent))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(step, fail)
        with pytest.raises(type(error)) as caught:
            write(path, HEADER, ARRAYS)
    assert caught.value is error
    assert len(seen[0]) == 1 + there  # the temporary file was in this folder, and it alone was written
    assert os.listdir(path.parent) == ["model"] * there
    assert (path.read_bytes() if there else None) == before
    if isinstance(error, OSError):
        assert error.filename == str(path)
    write(path, HEADER, ARRAYS)
    assert same(read(path)[1], ARRAYS)


def test_it_is_on_the_disk_before_it_takes_the_name_and_the_folder_after(monkeypatch, path):
    steps, fsync, replace = [], os.fsync, os.replace

    def logged_fsync(handle):
        is_folder = stat.S_ISDIR(os.fstat(handle).st_mode)
        steps.append("folder" if is_folder else os.fstat(handle).st_size)
        fsync(handle)

    def logged_replace(source, target):
        assert os.path.dirname(source) == str(path.parent)
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    write(path, HEADER, ARRAYS)
    assert steps == [path.stat().st_size, "replace", *(["folder"] if os.name == "posix" else [])]


def test_a_folder_that_cannot_be_synced_is_no_failure(monkeypatch, path):
    fsync = os.fsync

    def files_only(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    write(path, HEADER, ARRAYS)
    assert read(path)[0] == HEADER


# Names and permissions, as with open()


@pytest.mark.parametrize("name", ["model", "model.npz", "model.txt", ".hidden", "a b", "x" * 250, "Zürich"])
def test_the_name_is_taken_as_it_is(monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    for path in (name, Path(name), str(tmp_path / name)):
        write(path, HEADER, ARRAYS)
        assert os.listdir(tmp_path) == [name]
        assert read(path)[0] == HEADER


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000, 0o002])
def test_permissions_are_those_of_an_ordinary_file(path, mask):
    old = os.umask(mask)
    try:
        write(path, {}, {})
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        path.chmod(0o640)
        write(path, HEADER, ARRAYS)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(old)
    assert read(path)[0] == HEADER


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are POSIX's")
def test_links_are_followed_and_only_files_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "folder" / "model")
    for _ in range(2):
        write(link, HEADER, ARRAYS)
        assert link.is_symlink()
        assert os.listdir(tmp_path / "folder") == ["model"]
    assert read(link)[0] == HEADER
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "folder", tmp_path):
        with pytest.raises(FileExistsError, match="not an ordinary file") as caught:
            write(path, HEADER, ARRAYS)
        assert caught.value.filename == str(path)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_errors_of_the_system_pass_and_name_the_users_path(tmp_path):
    for path in (tmp_path / "none", tmp_path / "no" / "model"):
        with pytest.raises(FileNotFoundError) as caught:
            read(path)
        assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught:
        write(tmp_path / "no" / "model", {}, {})
    assert caught.value.filename == str(tmp_path / "no" / "model")
    with pytest.raises(IsADirectoryError if os.name == "posix" else OSError):
        read(tmp_path)
    with pytest.raises(FileNotFoundError):
        read("")
    for function, arguments in ((read, ()), (write, ({}, {}))):
        with pytest.raises(TypeError):
            function(3, *arguments)
    assert os.listdir(tmp_path) == []


# Damaged files


def test_every_truncation_is_told(saved):
    content = saved.read_bytes()
    lengths = {*range(0, len(content), 7), *range(len(content) - 120, len(content)), 1, 2, 3}
    for length in sorted(lengths):
        saved.write_bytes(content[:length])
        assert refused(saved), length


def test_every_altered_byte_is_told_or_changes_nothing(saved):
    content, random = saved.read_bytes(), rng(7)
    told = 0
    for position in random.choice(len(content), 500, replace=False):
        altered = bytearray(content)
        altered[position] ^= random.integers(1, 256)
        saved.write_bytes(altered)
        try:
            header, found = read(saved)
        except ModelFormatError:
            told += 1
        else:
            assert header == HEADER, position
            assert same(found, ARRAYS), position
    assert told > 400  # what is not told is in dates and attributes of the members


def test_every_bit_of_the_content_counts(saved):
    """With the sums of the zip made right again, only the digest can tell."""
    members = unpack(saved)
    for name, member in members.items():
        for position in (*range(60, len(member), 5), len(member) - 1):
            altered = bytearray(member)
            altered[position] ^= 1
            pack(saved, {**members, name: bytes(altered)})
            assert name == "header" or refused(saved), (name, position)
            if name == "header":
                try:
                    assert read(saved)[0] == HEADER, position
                except ModelFormatError:
                    continue
    pack(saved, {**members, "coefs_0": members["counts"]})
    assert refused(saved, "digest")
    pack(saved, {**members, "coefs_0": members["counts"], "counts": members["coefs_0"]})
    assert refused(saved, "digest")
    pack(saved, {"counts_2" if name == "counts" else name: member for name, member in members.items()})
    assert refused(saved, "digest")
    pack(saved, {**members, "more": members["counts"]})
    assert refused(saved, "digest")
    for name in ARRAYS:
        pack(saved, {other: member for other, member in members.items() if other != name})
        assert refused(saved, "digest"), name


def test_what_is_no_model_at_all(path):
    for content in (b"", b"PK\x05\x06" + bytes(18), b"\x80\x04K\x01.", b"text", bytes(1000), rng().bytes(5000)):
        path.write_bytes(content)
        assert refused(path)
    np.savez(io := path.open("wb"), X=np.zeros(3))
    io.close()
    assert refused(path, "no member 'header.npy'")
    np.save(io := path.open("wb"), np.zeros(3))
    io.close()
    assert refused(path)


# Hostile files: their digest is right, because anyone can compute one


def head(descr="<f8", shape="(1,)", order="False"):
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def npy(text, data=b"", version=b"\x01\x00"):
    """A .npy with any head."""
    text = text.encode("latin-1")
    return b"\x93NUMPY" + version + struct.pack("<H" if version == b"\x01\x00" else "<I", len(text)) + text + data


def unpack(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename.removesuffix(".npy"): archive.read(info) for info in archive.infolist()}


def pack(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)


def signed(members, header=None, /, **changes):
    """The members with a header whose digest fits."""
    header = {} if header is None else header
    told = {
        "format": model_file.FORMAT,
        "version": 1,
        "header": header,
        "digest": model_file._digest(header, members),
    }
    return {**members, "header": as_npy(np.frombuffer(json.dumps({**told, **changes}).encode(), np.uint8))}


def as_npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


ZEROS = as_npy(np.zeros(3))


def test_files_made_by_hand_are_read_if_they_are_right(path):
    """Otherwise the tests below would show nothing."""
    pack(path, signed({"x": ZEROS, "y": npy(head(), bytes(8)), "flags": npy(head("|b1", "(2,)"), b"\0\1")}, {"a": 1}))
    header, found = read(path)
    assert header == {"a": 1}
    assert same(found, {"x": np.zeros(3), "y": np.zeros(1), "flags": np.array([False, True])})


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


def test_no_code_in_a_file_is_run(path, tmp_path):
    marker = tmp_path / "marker"
    payload = pickle.dumps(Payload(marker))
    as_object = as_npy(np.array([Payload(marker)], object), allow_pickle=True)
    call = f"__import__('os').mkdir({str(marker)!r})"
    for member in (
        as_object,
        payload,
        npy(head("|O", "(1,)"), payload),
        npy(head("|O8", "(1,)"), payload),
        npy(head([("a", "|O")], "(1,)"), payload),
        npy(head(shape=f"({call},)"), bytes(8)),
        npy(f"{{'descr': {call}, 'fortran_order': False, 'shape': (1,), }}\n", bytes(8)),
    ):
        pack(path, signed({"x": member}))
        assert refused(path, "head")
        pack(path, {**signed({}), "header": member})
        assert refused(path, "head")
    path.write_bytes(payload)
    assert refused(path)
    assert not marker.exists()
    pickle.loads(payload)
    assert marker.exists()  # it would have been


def peak(path):
    """The memory that refusing the file took."""
    tracemalloc.start()
    try:
        assert refused(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "shape",
    [
        "(1000000000000000,)", "(1000000000,)", "(0, 1000000000000000)", "(4294967296, 4294967296)",
        "(999999999999999999, 999999999999999999)", f"({'9' * 5000},)", "(-1,)", "(-1, -1)", "(True,)", "(1.0,)",
        f"({'1, ' * 70}1)", "1", "[1]", "(2,)", "()" * 2, f"{'(' * 500}1{')' * 500}", "(1L,)", "(0x1,)", "(1,2)",
    ],
    ids=short,
)  # fmt: skip
@pytest.mark.parametrize("descr", ["<f8", "<U2", "|S8"])
def test_shapes_that_are_not_as_large_as_they_say(path, shape, descr):
    pack(path, signed({"x": npy(head(descr, shape), bytes(8))}))
    assert peak(path) < 1_000_000


@pytest.mark.parametrize(
    "descr",
    [
        "<U0", "|S0", "|V8", "|V0", "O", "<f3", "<U9999999999", "<U1073741824", "<U" + "9" * 4000, "|b8",
        "<M8[parsecs]", "f8,f8", "<8f8", "(8,)u1", "float64", "<M8[" + "9" * 3000 + "s]", "[('a', 'f8')]", "<T16", "",
    ],
    ids=short,
)  # fmt: skip
@pytest.mark.parametrize("shape", ["(1,)", "()", "(0,)", "(1000000000000,)"])
def test_dtypes_that_are_not_of_numbers_or_text(path, descr, shape):
    pack(path, signed({"x": npy(head(descr, shape), bytes(8))}))
    assert peak(path) < 1_000_000


@pytest.mark.parametrize(
    "member",
    [
        b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPX" + ZEROS[6:],
        npy("", bytes(8)), npy("{", bytes(8)), npy('"""', bytes(8)), npy("{'descr': (", bytes(8)), npy("\xff\xfe"),
        npy("(" * 60000), npy("{" + "'descr': 1, " * 5000 + "}"), npy(head(order="1"), bytes(8)),
        npy(head(), bytes(7)), npy(head(), bytes(9)), npy(head().replace("\n", ""), bytes(8)),
        npy(head(), bytes(8), b"\x02\x00"), npy(head(), bytes(8), b"\x03\x00"), npy(head(), bytes(8), b"\x09\x00"),
        npy(head("<U0", "(3,)")), npy(head("|S0", "(3,)")), npy(head("|b1", "(2,)"), b"\0\2"),
        npy(head("<U1", "(2,)"), b"\0\0\0\0\0\0\x11\0"),
        npy(head(">U1", "(1,)"), b"\0\x11\0\0"), npy(head("<U1", "(1, 2)", "True"), b"\xff" * 8),
    ],
    ids=short,
)  # fmt: skip
def test_arrays_that_are_none(path, member):
    pack(path, signed({"x": member}))
    assert refused(path)
    pack(path, {**signed({}), "header": member})
    assert refused(path)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"3", b"null", b'"format"', b"\xff\xfe{}", b"{}", b"[" * 100_000, b'{"format":' * 100_000,
        b'{"version": ' + b"9" * 100_000 + b"}", b"\xef\xbb\xbf{}", b'{"format": "' + b"\xff" + b'"}', b"{}" * 2,
    ],
    ids=short,
)  # fmt: skip
def test_headers_that_are_none(path, text):
    pack(path, {"header": as_npy(np.frombuffer(text, np.uint8))})
    assert refused(path)


def test_headers_of_other_versions_and_kinds(path):
    pack(path, signed({}, version=2))
    assert refused(path, "version 2, and not .*, version 1")
    pack(path, signed({}, format="other.Model"))
    assert refused(path, "'other.Model'")
    pack(path, signed({}, format="x" * 10_000))
    assert refused(path)
    for changes in ({"digest": None}, {"digest": ["a"]}, {"digest": ""}, {"header": None}, {"header": {"a": 1}}):
        pack(path, signed({}, **changes))
        assert refused(path, "digest"), changes
    for header in ([], [1], "text", 3):
        pack(path, signed({}, header))
        assert refused(path), header


def test_zip_bombs(path):
    bomb = npy(head("<f8", "(10000000,)"), bytes(80_000_000))
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        pack(path, signed({"x": bomb[:1_000_000]}), compression)
        assert peak(path) < 300_000
    pack(path, signed({"x": as_npy(rng().standard_normal(100))}), zipfile.ZIP_DEFLATED)
    assert refused(path, "is compressed")  # even where that gains nothing
    pack(path, signed({"x": bomb}), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert peak(path) < 1_000_000
    content = bytearray(path.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # a lie: it is stored as it is
        content[(at := content.index(magic) + offset) : at + 2] = b"\0\0"
    path.write_bytes(content)
    assert peak(path) < 1_000_000


def test_members_inside_one_another_are_refused_before_they_are_read(path):
    """A member that holds all later ones: 300 of them would make 150 times the file."""
    file, names = bytearray(), [f"x{k}.npy" for k in range(300)]
    tail, entries = npy(head("|u1", "(20000,)"), bytes(20_000)), []
    for name in reversed(names):
        sums = struct.pack("<III", zipfile.crc32(tail), len(tail), len(tail))
        local = struct.pack("<4s5H", b"PK\x03\x04", 20, 0, 0, 0, 33) + sums + struct.pack("<HH", len(name), 0)
        tail = local + name.encode() + tail
        entries.append((name, sums, len(tail)))
    file += tail
    start = len(file)
    for name, sums, distance in entries:
        file += struct.pack("<4s6H", b"PK\x01\x02", 20, 20, 0, 0, 0, 33) + sums
        file += struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, start - distance) + name.encode()
    file += struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 300, 300, len(file) - start, start, 0)
    path.write_bytes(file)
    assert len(zipfile.ZipFile(path).infolist()) == 300
    assert refused(path, "inside another")


def test_members_that_are_twice_there_or_named_amiss(path):
    members = signed({"x": ZEROS})
    pack(path, {**members, "z": ZEROS})
    path.write_bytes(path.read_bytes().replace(b"z.npy", b"x.npy"))
    assert refused(path, "twice")
    for name in ("../x", "/x", "a/x", "a\\x", "C:x", "x.npy", ".x", "", "x y", "ü", "x\n"):
        pack(path, signed({name: ZEROS}))
        assert refused(path, "is no array"), name
    for name in ("readme.txt", "x", "xnpy", "x.NPY"):
        pack(path, {key: member for key, member in signed({name: ZEROS}).items() if key == "header"})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, ZEROS)
        assert refused(path, f"'{name}' is no array")
    pack(path, {"x": ZEROS})
    assert refused(path, "no member 'header.npy'")


@pytest.mark.parametrize(
    ("offset", "central_offset", "value"),
    [(6, 8, 1), (6, 8, 0x20), (6, 8, 0x40), (8, 10, 99), (8, 10, 12), (4, 6, 99)],  # encrypted, patched, strong
    # encryption, a method there is not, bzip2 that is none, a version of the future
)
def test_members_of_a_kind_that_is_not_written(path, offset, central_offset, value):
    pack(path, signed({"x": ZEROS}))
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", offset), (b"PK\x01\x02", central_offset)):
        content[(at := content.index(magic) + at) : at + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    assert refused(path)


def test_shortage_of_memory_is_not_called_damage(saved, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(model_file, "_array", fail)
    with pytest.raises(MemoryError):
        read(saved)
