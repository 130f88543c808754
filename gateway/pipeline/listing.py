"""Every label that is in force, and which line of the hospital's file set it.

TOML's reader tells no lines, so the file is read once more, statement by statement.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.domain import terms
from gateway.domain.labels import Label
from gateway.pipeline.classification import DEFAULTS, Classification, Source, metric_code

_CLOSES = ("]", "}", '"""', "'''")
"""Only a line with one of these can end a statement of several lines."""


class Row(NamedTuple):
    """One label."""

    what: str
    """``metric``, ``content``, ``ward``, ``device kind`` or ``tag``."""
    name: str
    label: Label
    default: Label | None
    """What it would be without the file; None: nothing."""
    line: int
    """Of the file; 0: it says nothing of it."""

    @property
    def lowered(self) -> bool:
        """Whether the hospital has set a level below the default."""
        return self.default is not None and self.label.level < self.default.level


def rows(source: Source, told: Classification) -> list[Row]:
    """The table: metrics, content that is no metric, and what devices add."""
    lines = lines_of(source.document)
    return [*_metrics(source, told, lines), *_contents(told, lines), *_devices(source, told, lines)]


_Lines = Mapping[tuple[str, ...], int]


def _metrics(source: Source, told: Classification, lines: _Lines) -> Iterator[Row]:
    said = {
        metric_code(name, source.path): lines[("metrics", name)] for name in source.edits.metrics
    }
    for code in sorted({*terms.METRICS, *said}, key=lambda code: terms.metric(code).refid):
        row = terms.metric(code)
        yield Row("metric", row.refid, told.metric(code), row.label, said.get(code, 0))


def _contents(told: Classification, lines: _Lines) -> Iterator[Row]:
    for name, key, label, default in (
        ("free text", "free_text", told.free_text, DEFAULTS.free_text),
        ("waveform", "waveforms", told.waveforms, DEFAULTS.waveforms),
        ("device's last words", "free_text", told.own_words, DEFAULTS.own_words),
        ("badge", "badges", told.badges, DEFAULTS.badges),
        ("device id", "device_ids", told.device_ids, DEFAULTS.device_ids),
        ("address", "addresses", told.addresses, DEFAULTS.addresses),
        ("place", "places", told.places, DEFAULTS.places),
        ("patient", "patients", told.patients, DEFAULTS.patients),
        ("association", "associations", told.associations, DEFAULTS.associations),
    ):
        yield Row("content", name, label, default, lines.get((key,), 0))


def _devices(source: Source, told: Classification, lines: _Lines) -> Iterator[Row]:
    for what, key, labels, unknown in (
        ("ward", "wards", told.wards, told.unknown_ward),
        ("device kind", "device_kinds", told.device_kinds, told.unknown_device_kind),
    ):
        for name, label in labels.items():
            yield Row(what, name, label, None, lines[(key, name)])
        if unknown is not None:
            yield Row(what, "(unknown)", unknown, None, lines.get((f"unknown_{key[:-1]}",), 0))
    for name, tag in source.edits.tags.items():
        yield Row("tag", name, tag.label, None, lines[("tags", name)])


def lines_of(document: bytes) -> dict[tuple[str, ...], int]:
    """Where each key of a valid TOML document is first set: path of one or two keys -> line."""
    found: dict[tuple[str, ...], int] = {}
    header, pending, start = "", "", 0
    for number, line in enumerate(document.decode().splitlines(), start=1):
        bare = line.strip()
        if not pending:
            if not bare or bare.startswith("#"):
                continue
            start = number
            if bare.startswith("["):
                header = line
                _remember(found, tomllib.loads(line), start)
                continue
        elif not any(mark in line for mark in _CLOSES):
            pending += f"{line}\n"
            continue
        pending += f"{line}\n"
        try:
            statement = tomllib.loads(f"{header}\n{pending}")
        except tomllib.TOMLDecodeError:
            continue  # it goes on
        _remember(found, statement, start)
        pending = ""
    return found


def _remember(found: dict[tuple[str, ...], int], statement: Mapping[str, Any], line: int) -> None:
    for key, value in statement.items():
        found.setdefault((key,), line)
        if isinstance(value, dict):
            for inner in value:
                found.setdefault((key, inner), line)
