"""``core audit``: what the core holds of the gateways' audit logs, and a log checked against it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import sqlite3

    from core.heads import KeptHead

SHOWN = 10
"""Accepted heads that are shown, the newest ones; what contradicts is shown all."""


def audit(  # each is one way to ask
    gateway: Annotated[str, typer.Argument(help="Which; none: all of them, one line each")] = "",
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML)")] = None,
    database: Annotated[Path | None, typer.Option(help="Or the store itself")] = None,
    verify: Annotated[
        Path | None, typer.Option(help="The directory of this gateway's log, to be checked")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(help="audit.pub; by default the keys that the core has seen"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines")] = False,
) -> None:
    """Show the signed heads of gateways' audit logs, or check a log against them.

    With --verify every head that the core accepted must be a state of that log; exit code 1 if it
    is, and heads that contradict it were received all the same.
    """
    from core import heads  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415
    from core.tail import connect  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if database is None:
        if config is None:
            raise ConfigError("give --config or --database")
        database = load(config).database
    with closing(connect(database)) as db:
        if not gateway:
            _overview(db, as_json=as_json)
            return
        kept = heads.kept(db, gateway)
    if not kept:
        raise ConfigError(f"the core holds nothing of a gateway {gateway}'s audit log")
    told = [each for each in kept if each.verdict != heads.Verdict.ACCEPTED]
    if verify is None:
        _show(kept, as_json=as_json)
        return
    typer.echo(_checked(verify, kept, key))
    if told:
        typer.echo(f"{len(told)} heads were received that it can't explain:")
        _show(told, as_json=as_json)
        raise typer.Exit(1)


def _overview(db: sqlite3.Connection, *, as_json: bool) -> None:
    from core import heads  # noqa: PLC0415

    for name in heads.gateways(db):
        kept = heads.kept(db, name)
        newest = next((each for each in reversed(kept) if each.accepted), None)
        told = sum(each.verdict != heads.Verdict.ACCEPTED for each in kept)
        size = newest.head.size if newest else 0
        if as_json:
            typer.echo(json.dumps({"gateway": name, "size": size, "contradictions": told}))
        else:
            at = _time(newest.received_us) if newest else "never"
            typer.echo(f"{name:<20} {size:>10} entries, received {at}, {told} contradictions")


def _show(kept: list[KeptHead], *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415

    from core.heads import Verdict  # noqa: PLC0415

    plain = [each for each in kept if each.verdict == Verdict.ACCEPTED]
    shown = {id(each) for each in plain[-SHOWN:]}
    for each in kept:
        if as_json:
            fields = {"head": each.head, "received_us": each.received_us, "verdict": each.verdict}
            typer.echo(msgspec.json.encode(fields))
        elif each.verdict != Verdict.ACCEPTED or id(each) in shown:
            typer.echo(
                f"{_time(each.received_us)} {each.verdict:<12} {each.head.size:>10}"
                f" {each.head.root[:16]}… log {each.head.log[:8]} key {each.head.key}"
            )


def _checked(directory: Path, kept: list[KeptHead], key: list[Path] | None) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    from security.audit import AuditBrokenError, load_public_key, verify  # noqa: PLC0415
    from security.audit.following import log_of  # noqa: PLC0415

    log = log_of(directory)
    ours = [each for each in kept if each.accepted and each.head.log == log]
    if not ours:
        raise AuditBrokenError(f"{directory}: the core holds other logs, not this one, {log}")
    keys = (
        [load_public_key(path) for path in key]
        if key
        else [Ed25519PublicKey.from_public_bytes(raw) for raw in {each.public_key for each in ours}]
    )
    found = verify(directory, keys, [each.head for each in ours])
    return (
        f"{found.name}: entries {found.first} to {found.last} are in order, and agree with"
        f" {found.anchors} of {len(ours)} heads that the core holds, up to {ours[-1].head.size}"
    )


def _time(us: int) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%dT%H:%M:%SZ}"
