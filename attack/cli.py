"""``wardgate attack``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.domain.errors import ConfigError

if TYPE_CHECKING:
    from attack.outcome import Row

NAME_WIDTH, EXPECTED_WIDTH = 56, 42
SECONDS_MAX = 3600.0


def attack(
    endpoints: Annotated[
        Path,
        typer.Option(
            help="How to reach the system and whose keys to use (demo's file)",
            envvar="WARDGATE_ENDPOINTS",
        ),
    ] = Path(".wardgate-demo/endpoints.json"),
    only: Annotated[str, typer.Option(help="Run attacks with this in their name")] = "",
    bound_s: Annotated[
        float, typer.Option(help="How long a neighbour's answer may take, seconds")
    ] = 2.0,
    storm: Annotated[bool, typer.Option("--storm", help="Also a storm of 5,000 sessions")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines")] = False,
) -> None:
    """Attack a running system; exits with 1 if anything is not as expected."""
    import os  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # refused handshakes are the point

    from attack.suite import Options, run  # noqa: PLC0415
    from attack.target import load  # noqa: PLC0415

    if not 0 < bound_s <= SECONDS_MAX:
        raise ConfigError(f"--bound-s {bound_s:g} is not between 0 and {SECONDS_MAX:g}")
    target = load(endpoints)
    if not as_json:
        typer.echo(_line("attack", "expected", "seen", "verdict"))
    with tempfile.TemporaryDirectory(prefix="wardgate-attack-") as scratch:
        rows = run(
            target,
            Options(only, storm, bound_s),
            Path(scratch),
            (lambda _: None) if as_json else _tell,
        )
    if not rows:
        raise ConfigError(f"--only {only}: no attack has this in its name")
    bad = [row for row in rows if not row.good]
    if as_json:
        typer.echo(json.dumps([_plain(row) for row in rows], indent=1))
    else:
        typer.echo(f"{len(rows)} attacks, {len(bad)} not as expected")
    raise typer.Exit(1 if bad else 0)


def _tell(row: Row) -> None:
    verdict = "ok" if row.good else "NOT AS EXPECTED"
    typer.echo(_line(row.name, row.expectation, str(row.seen), verdict))


def _line(name: str, expected: str, seen: str, verdict: str) -> str:
    return f"{name:{NAME_WIDTH}} | {expected:{EXPECTED_WIDTH}} | {seen} | {verdict}"


def _plain(row: Row) -> dict[str, object]:
    return {
        "attack": row.name,
        "expected": sorted(row.expected),
        "seen": str(row.seen.word),
        "detail": row.seen.detail,
        "good": row.good,
    }
