"""The table of devices that ``wardgate device provision`` reads, and the results it writes."""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from gateway.domain.errors import ConfigError
from security.files import SECRET_MODE
from security.names import is_id

NETWORK_COLUMNS = ("supi", "gpsi", "imei", "dnn", "snssai", "tac")
"""What a mobile network must know it by; several tracking areas are separated by blanks."""
COLUMNS = (
    *("id", "kind", "ward", "bed", "transport", "firmware", "manufacturer", "serial_number"),
    *NETWORK_COLUMNS,
)
ROWS_MAX = 100_000
FILE_BYTES_MAX = 32 << 20
FAILED = "failed"


class Row(NamedTuple):
    """A line of the table."""

    line: int
    words: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.words["id"]


class Result(NamedTuple):
    """What became of a row, as the results file has it."""

    line: int
    id: str
    result: str
    """``token``, ``bundle``, ``enrolled`` (it has a certificate already), ``registered`` (it
    needs none, or its manufacturer's certificate is its token), or ``failed``."""
    token: str = ""
    expires: str = ""
    est_url: str = ""
    ca_sha256: str = ""
    bundle: str = ""
    error: str = ""


RESULT_COLUMNS = Result._fields


def read_table(path: Path) -> tuple[list[Row], list[Result]]:
    """The rows of a table, and those that are none.

    Comma or semicolon, with a head line; a column that is not known is an error, since a
    misspelt one would silently leave something out.

    Raises:
        ConfigError: the file can't be read, or its head is wrong.
    """
    text = _read(path)
    head = text.partition("\n")[0]
    delimiter = ";" if head.count(";") > head.count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        names = _head(path, next(reader, []))
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}") from error
    if len(lines) > ROWS_MAX:
        raise ConfigError(f"{path}: more than {ROWS_MAX} rows")
    rows: list[Row] = []
    bad: list[Result] = []
    seen: dict[str, int] = {}
    for line, cells in lines:
        words = dict(zip(names, map(str.strip, cells), strict=False))
        name = words.get("id", "")
        if len(cells) != len(names):
            bad.append(failed(line, name, f"{len(cells)} cells, not {len(names)}"))
        elif not is_id(name):
            bad.append(failed(line, name, "no id: letters, digits, '.', '_', '-'"))
        elif name in seen:
            bad.append(failed(line, name, f"the same id as in line {seen[name]}"))
        else:
            seen[name] = line
            rows.append(Row(line, words))
    return rows, bad


class Results:
    """The results file; a context manager that keeps other runs out."""

    def __init__(self, path: Path) -> None:
        """Open or make it, and cut off what a killed run has left of a line.

        Raises:
            ConfigError: another run has it, or it is something else.
        """
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        # Tokens are secrets.
        self._descriptor = os.open(path, flags, SECRET_MODE)
        self.latest: dict[str, Result] = {}
        try:
            self._recover()
        except BaseException:
            os.close(self._descriptor)
            raise

    def _recover(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"{self._path}: another run writes it") from error
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            os.ftruncate(self._descriptor, 0)
            self._write(RESULT_COLUMNS)
            return
        os.ftruncate(self._descriptor, len(whole))
        try:
            lines = list(csv.reader(io.StringIO(whole.decode())))
            found = [Result(int(line), *cells) for line, *cells in lines[1:]]
        except (ValueError, TypeError, csv.Error) as error:
            raise ConfigError(f"{self._path}: not a results file; use --out") from error
        if tuple(lines[0]) != RESULT_COLUMNS:
            raise ConfigError(f"{self._path}: not a results file; use --out")
        self.latest = {result.id: result for result in found}

    def done(self, device_id: str) -> bool:
        """Whether a device needs nothing more."""
        found = self.latest.get(device_id)
        return found is not None and found.result != FAILED

    def append(self, result: Result) -> None:
        """Add a line, durably.

        Raises:
            OSError: the disk refused; the next run cuts off what was written of it.
        """
        self._write(tuple(str(each).replace("\n", " ").replace("\r", " ") for each in result))
        self.latest[result.id] = result

    def _write(self, cells: Sequence[str]) -> None:
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerow(cells)
        line = out.getvalue().encode()
        if os.write(self._descriptor, line) != len(line):
            raise OSError("a result was cut off: is the disk full?")
        os.fsync(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def failures(rows: Sequence[Row], results: Results, bad: Sequence[Result]) -> Iterator[Result]:
    """What is still to be put right, by line."""
    open_rows = (results.latest.get(row.id) for row in rows)
    lines = [*bad, *(each for each in open_rows if each is not None and each.result == FAILED)]
    yield from sorted(lines, key=lambda each: each.line)


def failed(line: int, name: str, error: str) -> Result:
    """A row that could not be done."""
    return Result(line, name, FAILED, error=error)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: more than {FILE_BYTES_MAX} bytes")
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8; save it as CSV UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _head(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    strange = [name for name in names if name not in COLUMNS]
    if strange or len(set(names)) != len(names) or "id" not in names:
        what = f"no column {strange[0]!r}" if strange else "needs a column id, each once"
        raise ConfigError(f"{path}, line 1: {what}; there are {', '.join(COLUMNS)}")
    return names
