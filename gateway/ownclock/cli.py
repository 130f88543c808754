"""``wardgate clocks``: the gateway's own clock and the devices'."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    JsonOption,
    connect,
    say_json,
)

if TYPE_CHECKING:
    from protos.wardgate.v1 import clocks_pb2 as pb

app = typer.Typer(
    help="Clocks: the gateway's own and the devices', as estimated.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"))
DISPUTED = "disputed"
_WORDS = {
    DISPUTED: "its time service, which the platform contradicts,",
    "platform": "the platform alone",
}
HEAD = ("DEVICE", "OFFSET", "+/-", "DRIFT ppm", "SHOWS", "REPORTS +/-", "LAST SET")


@app.callback()
def main() -> None:
    """Clocks: the gateway's own and the devices', as estimated."""


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Each clock: how far it is off, how surely, how fast it drifts, when it was set."""
    from protos.wardgate.v1 import clocks_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "ClocksService", "ListClocks", pb.ListClocksRequest(), pb.ListClocksResponse
        )
    if as_json:
        say_json(found)
        return
    for line in lines(found):
        typer.echo(line)


def lines(found: pb.ListClocksResponse) -> list[str]:
    """The list, for people."""
    own = found.own
    word = "synchronised" if own.synchronised else "NOT SYNCHRONISED"
    if own.source == DISPUTED:
        word = "DISPUTED"
    told = f"gateway: {word}, by {_WORDS.get(own.source, own.source)}"
    if own.reference:
        told += f" from {own.reference}, stratum {own.stratum}"
    if own.error_us:
        told += f", off by {span(own.error_us)} at most"
    if own.steps:
        told += f"; set by {span(own.step_us, signed=True)} at {_date(own.stepped_at_us)}"
    rows = [HEAD, *(_row(each) for each in found.clocks)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    return [
        told,
        *(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]


def _row(each: pb.DeviceClock) -> tuple[str, ...]:
    known = bool(each.uncertainty_us)
    drift = f"{each.drift_ppm:+.0f} +/- {each.drift_uncertainty_ppm:.0f}"
    step = f"{span(each.step_us, signed=True)} at {_date(each.stepped_at_us)}"
    return (
        each.device_id,
        span(each.offset_us, signed=True),
        span(each.uncertainty_us) if known else "?",
        drift if known else "?",
        span(each.resolution_us),
        span(each.report_uncertainty_us) if known else "?",
        step if each.steps else "-",
    )


def span(us: int, *, signed: bool = False) -> str:
    """A length of time in the unit that suits it."""
    sign = "-" if us < 0 else "+" if signed else ""
    size = abs(us)
    for unit_us, name in UNITS:
        if size >= unit_us:
            return f"{sign}{size / unit_us:.3g} {name}"
    return f"{sign}{size / 1000:.3g} ms"


def _date(us: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"
