"""``wardgate cabinet``: what is in the cabinets of the gateway here, and what was counted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    pass

app = typer.Typer(
    help="RFID cabinets: show, history, reconcile, issued, list-import.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

NAME_COLUMN = 26
CLASS_COLUMN = 40

CabinetArgument = Annotated[str, typer.Argument(help="A cabinet's name")]


@app.command("show")
def show(
    cabinet: Annotated[str, typer.Argument(help="One, with its items; left out: all")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """What is in the cabinets, what is in doubt, and what is wrong."""
    from protos.wardgate.v1 import cabinet_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            "CabinetService",
            "ShowCabinets",
            pb.ShowCabinetsRequest(cabinet=cabinet),
            pb.ShowCabinetsResponse,
        )
    if as_json:
        say_json(found)
        return
    for number, each in enumerate(found.cabinets):
        if number:
            typer.echo("")
        _show_cabinet(each, found.now_us)


@app.command("history")
def history(
    cabinet: CabinetArgument,
    lines: Annotated[int, typer.Option("--lines", "-n", help="At most", min=1)] = 40,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """What happened, the newest first: the gateway keeps 500 lines, the core everything."""
    from protos.wardgate.v1 import cabinet_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            "CabinetService",
            "GetCabinetHistory",
            pb.GetCabinetHistoryRequest(cabinet=cabinet, lines_max=lines),
            pb.GetCabinetHistoryResponse,
        )
    if as_json:
        say_json(found)
        return
    if found.lines:
        typer.echo(f"{'when':<14}  {'what':<10}  {'item':<24}  place or door")
    for each in found.lines:
        what = each.name or each.epc[-12:]
        if each.event in {"opened", "reconciled", "unseen"}:
            what = each.text
        way = f"{each.from_place} > {each.place}" if each.from_place else each.place
        if each.event not in {"opened", "reconciled", "unseen"} and each.text:
            way = f"{way} ({each.text})"
        line = f"{_when(each.at_us)}  {each.event:<10}  {_cut(what, 24):<24}  {_cut(way, 22)}"
        typer.echo(line.rstrip())
        if each.badges:
            typer.echo(f"{'':21}by {', '.join(each.badges)}")


@app.command("reconcile")
def reconcile(  # noqa: PLR0913, PLR0917  # a command's options
    cabinet: CabinetArgument,
    person: Annotated[
        list[str],
        typer.Option("--person", "-p", help="Who has looked; twice for a controlled cabinet"),
    ],
    counted: Annotated[
        list[str] | None,
        typer.Option("--counted", help="CLASS=N counted by hand; what is left out: as read"),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="What you found, in your words")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that persons have counted: the book begins anew, and doubts end. It is audited."""
    from protos.wardgate.v1 import cabinet_pb2 as pb  # noqa: PLC0415

    request = pb.ReconcileCabinetRequest(
        cabinet=cabinet, persons=person, counted=_counts(counted or ()), reason=reason
    )
    with connect(config, at, identity) as client:
        found = client.call(
            "CabinetService", "ReconcileCabinet", request, pb.ReconcileCabinetResponse
        )
    if as_json:
        say_json(found)
        return
    typer.echo(f"{'class':<{CLASS_COLUMN}} {'expected':>8} {'read':>6} {'doubt':>6} {'counted':>8}")
    for each in found.classes:
        by_hand = str(each.counted) if each.HasField("counted") else "-"
        mark = "  DIFFERS" if each.differs else ""
        typer.echo(
            f"{_class(each):<{CLASS_COLUMN}} {each.expected:>8} {each.found:>6}"
            f" {each.doubted:>6} {by_hand:>8}{mark}"
        )
    differing = sum(each.differs for each in found.classes)
    told = f"{differing} of {len(found.classes)} classes differed" if differing else "as expected"
    gone = f"; {found.written_off} in doubt are taken to be gone" if found.written_off else ""
    typer.echo(f"{cabinet}: {told}{gone}; recorded")


@app.command("issued")
def issued(
    staff: Annotated[str, typer.Option("--staff", help="Of one person only")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Who has which gown or shoes, and since when."""
    from protos.wardgate.v1 import cabinet_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            "CabinetService", "ListIssued", pb.ListIssuedRequest(staff=staff), pb.ListIssuedResponse
        )
    if as_json:
        say_json(found)
        return
    if not found.garments:
        typer.echo("nothing is out")
        return
    typer.echo(f"{'staff':<16} {'garment':<{NAME_COLUMN}} {'since':<14} {'for':>7}")
    for each in found.garments:
        late = "  OVERDUE" if each.overdue else ""
        name = _cut(each.name or each.epc[-12:], NAME_COLUMN)
        typer.echo(
            f"{_cut(each.staff or '(unknown)', 16):<16} {name:<{NAME_COLUMN}}"
            f" {_when(each.since_us)} {_span(found.now_us - each.since_us):>7}{late}"
        )


@app.command("list-import")
def list_import(
    kind: Annotated[str, typer.Argument(help="items, recalls or badges")],
    file: Annotated[Path, typer.Argument(help="CSV; its first line names the columns")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a list by the pharmacy's: items, recalls, or staff badges."""
    from protos.wardgate.v1 import cabinet_pb2 as pb  # noqa: PLC0415

    request = pb.ImportListRequest(kind=kind, document=file.read_bytes(), dry_run=dry_run)
    with connect(config, at, identity) as client:
        found = client.call("CabinetService", "ImportList", request, pb.ImportListResponse)
    if as_json:
        say_json(found)
        return
    would = "would be " if dry_run else ""
    typer.echo(
        f"{kind}: {found.entries} entries; {found.changed} {would}new or changed,"
        f" {found.removed} {would}removed"
    )


def _show_cabinet(cabinet: Any, now_us: int) -> None:
    typer.echo(f"{cabinet.name}  {cabinet.kind}{'' if cabinet.seen else '  NOT SEEN'}")
    if cabinet.unseen_since_us:
        since_us = cabinet.unseen_since_us
        typer.echo(f"  not all of it is seen since {_when(since_us)} ({_span(now_us - since_us)})")
    for door in cabinet.doors:
        state = door.state.replace("_", " ").replace("blind", "not seen, was")
        by = f", by {', '.join(door.badges)}" if door.badges else ""
        since = f" for {_span(now_us - door.opened_us)}" if door.opened_us else ""
        typer.echo(f"  door {door.name}: {state}{since}{by}")
    for condition in cabinet.conditions:
        typer.echo(f"  ALARM {condition}")
    if not cabinet.counted and cabinet.kind != "garment":
        typer.echo("  never counted: nothing is expected (wardgate cabinet reconcile)")
    if cabinet.classes:
        typer.echo(f"  {'class':<{CLASS_COLUMN}} {'expected':>8} {'read':>6} {'doubt':>6}")
    for each in cabinet.classes:
        expected = str(each.expected) if cabinet.counted else "-"
        mark = "  DIFFERS" if each.differs else ""
        typer.echo(
            f"  {_class(each):<{CLASS_COLUMN}} {expected:>8} {each.found:>6}"
            f" {each.doubted:>6}{mark}"
        )
    if cabinet.items:
        typer.echo("")
        typer.echo(f"  {'place':<12} {'item':<{NAME_COLUMN}} {'lot':<10} {'expiry':<10} state")
    for each in cabinet.items:
        name = _cut(each.name or each.epc[-12:], NAME_COLUMN)
        words = [each.state] if each.state != "present" else []
        words += [mark.upper() for mark in each.marks]
        line = (
            f"  {_cut(each.place, 12):<12} {name:<{NAME_COLUMN}} {_cut(each.lot, 10):<10}"
            f" {each.expiry:<10} {', '.join(words)}"
        )
        typer.echo(line.rstrip())


def _counts(pairs: Any) -> dict[str, int]:
    counted = {}
    for pair in pairs:
        name, equals, n = pair.rpartition("=")
        if not (equals and name and n.isascii() and n.isdigit()):
            raise typer.BadParameter(f"{pair!r} is not CLASS=N")
        counted[name] = int(n)
    return counted


def _class(each: Any) -> str:
    """A class by its GTIN and name, or whichever it has."""
    named = each.item_class
    if each.name and each.name != each.item_class:
        named = f"{each.item_class} {each.name}"
    return _cut(named, CLASS_COLUMN)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _when(at_us: int) -> str:
    """Local time of whoever looks."""
    from datetime import datetime  # noqa: PLC0415

    moment = datetime.fromtimestamp(at_us / 1e6).astimezone()
    return f"{moment:%m-%d %H:%M:%S}"


def _span(us: int) -> str:
    seconds = max(0, us) // 1_000_000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
