"""``wardgate audit``: check, read, prove and hand over the audit log of any part.

The log is files; nothing here needs the part that writes them to run, or its private key.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.options import Fleet, Identity
from gateway.domain.decoding import UNDECODABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from gateway.releasereport.checking import Checked
    from gateway.uplink.agreement import Agreement
    from security.audit.checking import Step, Verified
    from security.audit.form import Anchor

app = typer.Typer(
    help="Audit logs: verify, show, export, prove.", no_args_is_help=True, rich_markup_mode=None
)

Log = Annotated[Path, typer.Argument(help="The directory of an audit log", show_default=False)]
Keys = Annotated[
    list[Path] | None,
    typer.Option("--key", help="audit.pub of the log; more than one if its key was replaced"),
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines")]
Since = Annotated[str, typer.Option(help="From this time on, UTC: 2026-10-01, 2026-10-01T12:00")]
Until = Annotated[str, typer.Option(help="Before this time")]
Event = Annotated[list[str] | None, typer.Option(help="Only this event; may be repeated")]
Device = Annotated[str, typer.Option(help="Only what names this device")]


@app.callback()
def main() -> None:
    """Audit logs: verify, show, export, prove."""


@app.command()
def verify(  # noqa: PLR0913, PLR0917  # each is one way to know more
    log: Log,
    key: Keys = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(help="A head that was kept elsewhere (JSON); may be repeated"),
    ] = None,
    gateway: Annotated[
        str, typer.Option(help="Compare with what the fleet keeps of this gateway's log")
    ] = "",
    ledger: Annotated[
        Path | None, typer.Option(help="A gateway's ledger.sqlite: does it say what the log says?")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="A release report (JSON or page): does the log say so?")
    ] = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Check that a log is what was written.

    Any change before the last signed head shows with --key. That the log was not cut at its end, or
    written anew with a stolen key, shows against a head that was kept elsewhere: --anchor, or
    --gateway for the one that the fleet keeps. What the core keeps: wardgate core audit.
    """
    import msgspec  # noqa: PLC0415

    from security.audit import load_public_key  # noqa: PLC0415
    from security.audit import verify as check  # noqa: PLC0415

    anchors: list[Anchor] = [_anchor(path) for path in anchor or ()]
    if gateway:
        anchors.append(_kept_by_fleet(gateway, fleet, identity))
    keys = [load_public_key(path) for path in key] if key else None
    found = check(log, keys, anchors)
    agreement = _compared(ledger, log) if ledger is not None else None
    checked = _reported(report, log, keys, anchors) if report is not None else None
    if as_json:
        told = found._asdict() | {
            "ledger": agreement._asdict() if agreement else None,
            "report": checked._asdict() if checked else None,
        }
        typer.echo(msgspec.json.encode(told))
        return
    typer.echo(_in_order(found, signed=keys is not None))
    if agreement is not None:
        typer.echo(
            f"the ledger agrees: {agreement.records} records in {agreement.periods} periods, until"
            f" {_time(agreement.until_us)}; {agreement.untold} entries since;"
            f" policies that are kept as they were in force: {agreement.policies}"
        )
        if agreement.rows_until_us:
            typer.echo(
                f"each row of it is what was told, until {_time(agreement.rows_until_us)}:"
                f" {agreement.rows} entries, and days, batches set aside, policies, marks"
            )
        for each in agreement.changed:
            typer.echo(f"the gateway found it changed then: {each}")
    if checked is not None:
        typer.echo(
            f"the report holds: {checked.records} records that left and {checked.withheld} that"
            f" were withheld, in {checked.rows} rows; policies that were in force as it says:"
            f" {checked.policies}"
        )
        for version in checked.unchecked:
            typer.echo(f"policy {version} was in force before the log's oldest entry: unchecked")


@app.command()
def show(
    log: Log,
    since: Since = "",
    until: Until = "",
    event: Event = None,
    device: Device = "",
    as_json: AsJson = False,
) -> None:
    """Print entries, the oldest first; each was checked against those before it."""
    for step in _chosen(log, since, until, event, device):
        typer.echo(step.body if as_json else _line(step))


@app.command()
def export(  # what to take, and how
    log: Log,
    form: Annotated[str, typer.Option("--format", help="json, csv or atna")] = "json",
    since: Since = "",
    until: Until = "",
    event: Event = None,
    device: Device = "",
) -> None:
    """Write entries for another system: JSON lines, CSV, or ATNA messages (XML), one a line."""
    import csv  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security.audit import atna  # noqa: PLC0415

    if form not in ("json", "csv", "atna"):
        raise ConfigError(f"no format {form!r}; there are: json, csv, atna")
    table = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        table.writerow(("n", "time", "event", "by", "device", "fields"))
    walk = _walk()
    for step in _chosen(log, since, until, event, device, walk):
        fields = _fields(step)
        if form == "json":
            typer.echo(step.body)
        elif form == "csv":
            n, us, name, by, who = (fields.pop(key, "") for key in _COLUMNS)
            words = " ".join(f"{key}={value}" for key, value in fields.items())
            table.writerow(map(_harmless, (n, _time(int(us)), name, by, who, words)))
        elif step.entry.event not in atna.HOUSEKEEPING:
            typer.echo(atna.document(fields, walk.name, walk.log))


@app.command()
def prove(
    log: Log,
    number: Annotated[int, typer.Argument(min=1, help="The entry's number", show_default=False)],
    key: Keys = None,
) -> None:
    """Print the proof (JSON) that an entry is in the log, for somebody who has not the log.

    It has the entry, the hashes that lead from it to the root, and the signed head; and can be
    checked with: wardgate audit check FILE --key audit.pub.
    """
    import msgspec  # noqa: PLC0415

    from security.audit import load_public_key  # noqa: PLC0415
    from security.audit.checking import prove as made  # noqa: PLC0415

    keys = [load_public_key(path) for path in key] if key else None
    typer.echo(msgspec.json.encode(made(log, number, keys)))


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(help="From: wardgate audit prove", show_default=False)],
    key: Annotated[Path, typer.Option(help="audit.pub of the log")],
) -> None:
    """Check a proof that an entry is in a log, without the log."""
    import msgspec  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security.audit import AuditBrokenError, load_public_key  # noqa: PLC0415
    from security.audit.checking import Proof  # noqa: PLC0415

    try:
        found = msgspec.json.decode(proof.read_bytes(), type=Proof)
    except UNDECODABLE as error:
        raise ConfigError(f"{proof}: no proof: {error}") from error
    if not found.holds(load_public_key(key)):
        raise AuditBrokenError(f"{proof}: it does not hold")
    head = found.head
    typer.echo(
        f"entry {found.leaf_index + 1} is in the log of {head.name}, whose head of {head.size}"
        f" entries was signed at {_time(head.us)}: {found.entry}"
    )


_COLUMNS = ("n", "us", "event", "by", "device")


def _walk() -> Any:
    from security.audit.checking import Walk  # noqa: PLC0415

    return Walk()


def _chosen(
    log: Path, since: str, until: str, events: list[str] | None, device: str, walk: Any = None
) -> Iterator[Step]:
    from_us, to_us = _us(since, 0), _us(until, 1 << 62)
    for step in (walk or _walk()).through(log):
        entry = step.entry
        if not from_us <= entry.us < to_us or (events and entry.event not in events):
            continue
        if device and _fields(step).get("device") != device:
            continue
        yield step


def _fields(step: Step) -> dict[str, Any]:
    import msgspec  # noqa: PLC0415

    found: dict[str, Any] = msgspec.json.decode(step.body)
    return found


def _line(step: Step) -> str:
    fields = _fields(step)
    words = " ".join(
        f"{key}={value}" for key, value in fields.items() if key not in ("n", "us", "event")
    )
    return f"{step.entry.n:>8} {_time(step.entry.us)} {step.entry.event:<18} {_printable(words)}"


def _printable(text: str) -> str:
    """Foreign words must not speak to the terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _harmless(cell: object) -> str:
    """A cell that a spreadsheet does not take for a formula."""
    text = _printable(str(cell))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _time(us: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _us(text: str, default: int) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if not text:
        return default
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no time, such as 2026-10-01 or 2026-10-01T12:00") from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e6)


def _in_order(found: Verified, *, signed: bool) -> str:
    whose = f"{found.name}: " if found.name else ""
    seal = f"{found.checkpoints} signed heads" if signed else "signatures not checked: no --key"
    kept = f", {found.anchors} states kept elsewhere agree" if found.anchors else ""
    return (
        f"{whose}entries {found.first} to {found.last} are in order, {seal}{kept};"
        f" {found.unsigned} entries since the last head"
    )


def _compared(ledger: Path, log: Path) -> Agreement:
    import sqlite3  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.uplink.agreement import compare  # noqa: PLC0415

    try:
        return compare(ledger, log)
    except sqlite3.Error as error:
        raise ConfigError(f"{ledger}: {error}") from error


def _reported(
    path: Path, log: Path, keys: list[Ed25519PublicKey] | None, anchors: list[Anchor]
) -> Checked:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.releasereport import checking, page  # noqa: PLC0415
    from gateway.releasereport.report import REPORT_BYTES_MAX  # noqa: PLC0415

    if not keys:
        raise ConfigError("--report: a report is signed, give --key audit.pub")
    with path.open("rb") as file:
        content = file.read(REPORT_BYTES_MAX + 1)
    if len(content) > REPORT_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {REPORT_BYTES_MAX} bytes, so no report of ours")
    return checking.check(page.read(content, str(path)), log, keys, anchors)


def _anchor(path: Path) -> Anchor:
    import msgspec  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security.audit import TreeHead  # noqa: PLC0415

    try:
        return msgspec.json.decode(path.read_bytes(), type=TreeHead)
    except UNDECODABLE as error:
        raise ConfigError(f"{path}: no head: {error}") from error


def _kept_by_fleet(gateway: str, fleet: str | None, identity: Path | None) -> Anchor:
    from fleet import client  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.wire.heads import from_checkpoint  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security.audit import Checkpoint  # noqa: PLC0415

    with client.resolve(fleet, identity) as service:
        status = service.call(
            "GetFleetStatus", pb.GetFleetStatusRequest(), pb.GetFleetStatusResponse
        )
    kept = {each.gateway: each.facts.audit for each in status.gateways}.get(gateway)
    if kept is None or not kept.number:
        raise ConfigError(f"the fleet keeps nothing of a gateway {gateway}'s log")
    if kept.log:
        return from_checkpoint(kept)
    return Checkpoint(kept.number, kept.chain, kept.signature)
