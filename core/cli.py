"""``core run | tail | audit | erase | …``: what the command ``wardgate`` mounts as `core`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from core import keys_cli
from core.audit_cli import audit

app = typer.Typer(help="The reference receiving end.", no_args_is_help=True, rich_markup_mode=None)

FOLLOW_INTERVAL_S = 0.5


app.command()(audit)
app.command()(keys_cli.erase)
app.command()(keys_cli.rewrap)
app.command()(keys_cli.words)


@app.callback()
def main() -> None:
    """The reference receiving end."""


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from gateway.domain.errors import WardgateError  # noqa: PLC0415

    try:
        yield
    except (WardgateError, OSError) as error:
        typer.echo(f"core: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def run(config: Annotated[Path, typer.Option(help="Configuration file (TOML)")]) -> None:
    """Receive streams until stopped."""
    import logging  # noqa: PLC0415  # `--help` must not load what only a command needs
    import os  # noqa: PLC0415

    # gRPC's own log has a line for every refused handshake, which anybody can cause.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from core import daemon  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with _one_line_errors():
        daemon.run(load(config))


@app.command()
def tail(
    config: Annotated[Path | None, typer.Option(help="Configuration file (TOML)")] = None,
    database: Annotated[Path | None, typer.Option(help="Or the store itself")] = None,
    reports: Annotated[int, typer.Option("-n", min=0, help="Begin with so many reports")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """Show the newest readings and statistics."""
    from core import tail as store  # noqa: PLC0415
    from core.columns import columns_of  # noqa: PLC0415
    from core.config import load  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    columns = None
    with _one_line_errors():
        if database is None:
            if config is None:
                raise typer.BadParameter("give --config or --database")
            loaded = load(config)
            database, columns = loaded.database, columns_of(loaded, SystemClock().now_us)
        db = store.connect(database)
    after = store.newest(db, reports)
    after_aggregate = store.newest_aggregate(db, reports)
    try:
        while True:
            for sealed in store.readings(db, after):
                reading = store.opened(sealed, columns)
                _show(reading._asdict(), as_json=as_json)
                after = reading.id
            after_aggregate, found = store.aggregated(db, after_aggregate)
            for each in found:
                _show_aggregated(each._asdict(), as_json=as_json)
            sys.stdout.flush()
            if not follow:
                return
            time.sleep(FOLLOW_INTERVAL_S)
    except (KeyboardInterrupt, BrokenPipeError):
        return
    finally:
        db.close()


@app.command("apply-revocations")
def apply_revocations(
    file: Annotated[Path, typer.Argument(help="From: wardgate fleet revocations --out FILE")],
    config: Annotated[Path, typer.Option(help="Configuration file (TOML)")],
) -> None:
    """Apply a signed list of revocations that was carried here; for a core that is cut off.

    A running core ends the live streams of revoked gateways within a second. A list that is older,
    damaged or another ward's is refused. Run it as the core's user.
    """
    from core.config import load  # noqa: PLC0415
    from core.revocations import revocation_book  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security.revocations_in_force import put_on_disk  # noqa: PLC0415

    with _one_line_errors():
        book = revocation_book(load(config), SystemClock())
        newer = put_on_disk(book, file)
    entries = len(book.current.serials)
    what = "is in force from now on" if newer else "was there already"
    typer.echo(f"list {book.current.number}, {entries} entries, {what}")


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


def _show_aggregated(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        import msgspec  # noqa: PLC0415

        typer.echo(msgspec.json.encode(found))
        return
    began = datetime.fromtimestamp(found["from_us"] / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    window = f"{began} +{(found['to_us'] - found['from_us']) // 1_000_000} s"
    if "condition" in found:
        what = "{condition} ({priority}): {alarms} alarms of {devices} devices".format(**found)
    else:
        what = (
            "{kind} {refid}: mean {mean:g}, sd {standard_deviation:g} {unit}"
            ", {values} values of {devices} devices".format(**found)
        )
    typer.echo(f"{window:<32} {what}")
