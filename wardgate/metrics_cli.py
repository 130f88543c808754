"""``wardgate metrics``: what is measured, in which units, and how one unit becomes another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.domain.labels import DataClass
    from gateway.domain.terms import Metric

app = typer.Typer(
    help="Metrics and units: list, convert.", no_args_is_help=True, rich_markup_mode=None
)

JsonOption = Annotated[bool, typer.Option("--json", help="For machines")]


@app.callback()
def main() -> None:
    """Metrics and units: list, convert."""


@app.command("list")
def list_metrics(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Only rows with these words in REFID, names or code, in any case"),
    ] = None,
    *,
    unit: Annotated[str, typer.Option(help="Only metrics in this unit")] = "",
    in_unit: Annotated[
        str,
        typer.Option(
            "--in", metavar="UNIT", help="Only metrics that can be told in it, told in it"
        ),
    ] = "",
    data_class: Annotated[str, typer.Option("--class", help="Only this class")] = "",
    level: Annotated[int, typer.Option(min=0, max=5, help="Only this level; 0: all")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the metrics that drivers report: wardgate metrics list temp --in '[degF]'.

    Class and level are the defaults; `wardgate policy classification` says what the hospital made
    of them. The range is what a sensor in order can report; it is no alarm limit.
    """
    wanted = _class(data_class)
    rows = [
        row
        for row in _rows()
        if _matches(row, words or ())
        and unit in ("", row.unit)
        and wanted in (None, row.label.data_class)
        and level in (0, row.label.level)
    ]
    if in_unit:
        rows = list(_told_in(in_unit, rows))
    if as_json:
        import json  # noqa: PLC0415  # `--help` must not load what only the command needs

        typer.echo(json.dumps([_facts(row) for row in rows], ensure_ascii=False))
        return
    if not rows:
        typer.echo("no metric is like this")
        return
    head = ("CODE", "REFID", "UNIT", "RANGE", "CLASS", "LEVEL", "ENGLISH", "CHINESE")
    _table([head, *map(_cells, rows)])
    typer.echo(f"\n{len(rows)} metrics")


@app.command("units")
def list_units(*, as_json: JsonOption = False) -> None:
    """List the units that drivers meet; what shares a base converts to each other."""
    from gateway.domain import units  # noqa: PLC0415

    if as_json:
        import json  # noqa: PLC0415

        facts = [
            {
                "code": row.code or None,
                "refid": row.refid or None,
                "unit": row.ucum,
                "also": list(row.also),
                "base": row.base,
                "factor": float(row.factor),
                "offset": float(row.offset),
            }
            for row in units.UNITS
        ]
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    told = [
        (str(row.code or "-"), row.refid or "-", row.ucum, "  ".join(row.also), row.base)
        for row in sorted(units.UNITS, key=lambda row: (row.base, row.factor))
    ]
    _table([("CODE", "REFID", "UNIT", "ALSO", "BASE"), *told])


@app.command(context_settings={"ignore_unknown_options": True})  # -5 is no option
def convert(
    value: Annotated[float, typer.Argument(help="A number")],
    unit: Annotated[str, typer.Argument(help="Its unit, in UCUM")],
    to: Annotated[str, typer.Argument(help="The unit that is wanted, in UCUM")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Convert a number: wardgate metrics convert 16 kPa 'mm[Hg]'."""
    way = _way(unit, to)
    if as_json:
        import json  # noqa: PLC0415

        typer.echo(json.dumps({"value": way(value), "unit": to}))
        return
    typer.echo(f"{value:g} {unit} = {way.shown(value):g} {to}")


def _rows() -> list[Metric]:
    """The table, and what installed drivers of third parties add to it."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    from gateway import plugins  # noqa: PLC0415
    from gateway.domain import terms  # noqa: PLC0415

    for each in entry_points(group=plugins.GROUP):
        if each.dist is None or each.dist.name != "wardgate":
            plugins.factory(each.name)
    return [terms.METRICS[code] for code in sorted(terms.METRICS)]


def _class(name: str) -> DataClass | None:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.domain.labels import DataClass  # noqa: PLC0415

    if not name:
        return None
    try:
        return DataClass[name.upper()]
    except KeyError:
        known = ", ".join(each.name.lower() for each in DataClass)
        raise ConfigError(f"no class {name!r}; there are: {known}") from None


def _matches(row: Metric, words: Iterable[str]) -> bool:
    text = f"{row.code} {row.refid} {row.name} {row.chinese}".casefold()
    return all(word.casefold() in text for word in words)


def _told_in(unit: str, rows: Iterable[Metric]) -> Iterable[Metric]:
    from gateway.domain import ucum, units  # noqa: PLC0415

    _way(unit, unit)
    wanted = units.find(unit)
    for row in rows:
        # What the table knows of both needs no look outside it.
        outside = wanted is None and row.unit
        way = ucum.conversion(row.unit, unit) if outside else units.conversion(row.unit, unit)
        if way is not None:
            low, high = (
                way.shown(bound) if math.isfinite(bound) else bound for bound in (row.low, row.high)
            )
            yield row._replace(unit=unit, low=low, high=high)


def _way(unit: str, to: str) -> Any:
    from gateway.domain import ucum  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    for each in (unit, to):
        if not ucum.is_unit(each):
            raise ConfigError(f"{each!r} is no UCUM unit; `wardgate metrics units` lists the usual")
    way = ucum.conversion(unit, to)
    if way is None:
        raise ConfigError(f"{unit!r} does not convert to {to!r}")
    return way


def _cells(row: Metric) -> tuple[str, ...]:
    label = row.label.data_class.name.lower(), str(row.label.level)
    return str(row.code), row.refid, row.unit, _range(row), *label, row.name, row.chinese


def _range(row: Metric) -> str:
    if row.low == -math.inf and row.high == math.inf:
        return ""
    return f"{row.low:g} to {row.high:g}"


def _facts(row: Metric) -> dict[str, Any]:
    return {
        "code": row.code,
        "refid": row.refid,
        "unit": row.unit,
        "low": row.low if math.isfinite(row.low) else None,
        "high": row.high if math.isfinite(row.high) else None,
        "class": row.label.data_class.name.lower(),
        "level": row.label.level,
        "english": row.name,
        "chinese": row.chinese,
    }


def _table(rows: Sequence[Sequence[str]]) -> None:
    from gateway.policy_show import table  # noqa: PLC0415

    table(rows)
