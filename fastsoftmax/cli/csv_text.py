"""The text of a .csv file as people have it: its encoding, what separates its columns, its lines."""

import csv
import io
import itertools
import re
from pathlib import Path

from fastsoftmax.cli.columns import is_number
from fastsoftmax.cli.errors import DataError

DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_JSON = re.compile(r"\s*[{\[]\s*[\"{}\[\]]")  # "[kg]" is a name
Line = tuple[int, list[str]]  # its number and its cells
OTHERS = ("\t", ";", "|")  # than the comma
SAMPLE = 100  # lines by which the separator is known
NO_TEXT = {
    b"PK": "a zip archive, as spreadsheets are: save it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet: save it as CSV",
    b"PAR1": "a .parquet file",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "compressed: unpack it",
}


def read_lines(path: Path) -> list[Line]:
    """Lines that are not empty, all of one width; a DataError says what cannot be read, and where."""
    text = _decoded(path.read_bytes())
    skipped, separator = 0, None
    head, _, rest = text.partition("\n")
    if head.strip().casefold() in (f"sep={c}" for c in (*OTHERS, ",")) or head.strip("\r") == "sep=\t":  # Excel's
        skipped, separator, text = 1, head.strip("\r\n ")[4:] or "\t", rest
    if text.lstrip()[:200].casefold().startswith(("<!doctype", "<html", "<?xml")):
        raise DataError("not a CSV text: a web page or XML")
    if _JSON.match(text):
        raise DataError("not a CSV text: JSON")
    separator = separator or _separator(text)
    lines = _without_padding([(line + skipped, cells) for line, cells in _parsed(text, separator)])
    if not lines:
        raise DataError("empty")
    width = len(lines[0][1])
    for line, cells in lines:
        if any("\n" in cell or "\r" in cell for cell in cells):
            raise DataError(f"line {line} ends a cell of several lines: is there a quote that is not closed?")
        if len(cells) != width:
            raise DataError(f"line {line} has {len(cells)} columns, the first has {width}")
    return lines if separator == "," else _with_points(lines)


def _without_padding(lines: list[Line]) -> list[Line]:
    """The lines without what programs leave at their ends: lines of separators alone, or one behind each last cell.

    Where line 1 may be a sample, an empty last column may be that of the labels, and stays.
    """
    while len(lines) > 1 and not any(lines[-1][1]):
        lines = lines[:-1]
    if len(lines) < 2 or any(map(is_number, lines[0][1])):
        return lines
    (_, names), samples = lines[0], lines[1:]
    widths = {len(cells) for _, cells in samples}
    padded = len(names) if not names[-1] else len(names) + 1
    if padded < 3 or widths != {padded} or any(cells[-1] for _, cells in samples):
        return lines
    return [(line, cells[: padded - 1]) for line, cells in lines]


def _decoded(content: bytes) -> str:
    for start, what in NO_TEXT.items():
        if content.startswith(start):
            raise DataError(f"not a CSV text: {what}")
    encoding = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "UTF-8"
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start : error.start + 1].hex()
        raise DataError(
            f"not a CSV text: line {line} is not {encoding[:6].upper()} (byte {byte}): save it as UTF-8"
        ) from None
    if "\0" in text[:4]:
        raise DataError("not a CSV text: it has NULs, as UTF-32 has, or UTF-16 without its mark: save it as UTF-8")
    return text.removesuffix("\x1a")  # DOS's end of a text


def _with_points(lines: list[Line]) -> list[Line]:
    """Numbers with a decimal comma, 1,5, as 1.5; a DataError if others have a point."""
    commas = {cell for _, cells in lines for cell in cells if "," in cell and DECIMAL_COMMA.fullmatch(cell)}
    if not commas:
        return lines
    for line, cells in lines:
        for j, cell in enumerate(cells, 1):
            if "." in cell and is_number(cell):
                raise DataError(f"line {line}, column {j} is {cell}, but others have decimal commas, as {min(commas)}")
    return [(line, [cell.replace(",", ".") if cell in commas else cell for cell in cells]) for line, cells in lines]


def _parsed(text: str, separator: str) -> list[Line]:
    lines: list[Line] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=separator != "\t")
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip(" \t")):
                lines.append((reader.line_num, [cell.strip(" \t") for cell in cells]))
    except csv.Error as error:
        raise DataError(f"not a CSV text: line {reader.line_num}: {error}") from None
    return lines


def _separator(text: str) -> str:
    """A comma, unless another one cuts all lines alike, and what is left of commas are decimal ones."""
    sample = "".join(itertools.islice(io.StringIO(text, newline=""), SAMPLE))
    by_comma = {len(cells) for _, cells in _parsed(sample, ",")}
    for separator in OTHERS:
        rows = [cells for _, cells in _parsed(sample, separator)]
        widths = {len(cells) for cells in rows}
        if len(widths) == 1 and widths != {1}:
            with_commas = [cell for cells in rows for cell in cells if "," in cell]
            if len(by_comma) > 1 or by_comma == {1} or all(map(DECIMAL_COMMA.fullmatch, with_commas)):
                return separator
    return ","
