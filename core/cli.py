"""``core run | tail | audit``: a sub-application that the command ``wardgate`` mounts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from core.audit_cli import audit

app = typer.Typer(help="The reference receiving end.", no_args_is_help=True, rich_markup_mode=None)

FOLLOW_INTERVAL_S = 0.5


app.command()(audit)


@app.callback()
def main() -> None:
    """The reference receiving end."""


@app.command()
def run(config: Annotated[Path, typer.Option(help="Configuration file (TOML)")]) -> None:
    """Receive streams until stopped."""
    import logging  # noqa: PLC0415  # `--help` must not load what only a command needs
    import os  # noqa: PLC0415

    # gRPC's own log has a line for every refused handshake, which anybody can cause.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from core import daemon  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415
    from gateway.domain.errors import WardgateError  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        daemon.run(load(config))
    except (WardgateError, OSError) as error:
        typer.echo(f"core: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def tail(
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML)")] = None,
    database: Annotated[Path | None, typer.Option(help="Or the store itself")] = None,
    reports: Annotated[int, typer.Option("-n", min=0, help="Begin with so many reports")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """Show the newest readings."""
    from core import tail as store  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415
    from gateway.domain.errors import WardgateError  # noqa: PLC0415

    try:
        if database is None:
            if config is None:
                raise typer.BadParameter("give --config or --database")
            database = load(config).database
        db = store.connect(database)
    except WardgateError as error:
        typer.echo(f"core: {error}", err=True)
        raise typer.Exit(2) from error
    after = store.newest(db, reports)
    try:
        while True:
            for reading in store.readings(db, after):
                _show(reading._asdict(), as_json=as_json)
                after = reading.id
            sys.stdout.flush()
            if not follow:
                return
            time.sleep(FOLLOW_INTERVAL_S)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        db.close()


def _show(reading: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        import msgspec  # noqa: PLC0415

        typer.echo(msgspec.json.encode(reading))
        return
    typer.echo(
        "{device_id:<20} {message_id:<16} {refid:<28} {value!s:>10} {unit:<8} {quality}".format(
            **reading
        )
    )
