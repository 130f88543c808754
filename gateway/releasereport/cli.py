"""``wardgate release report``: what left, to whom, in which shape, and by which rule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="What left the hospital.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def main() -> None:
    """What left the hospital."""


@app.command()
def report(  # what is asked, and how it is to be shown
    first: Annotated[str, typer.Option("--from", help="The first day, UTC: 2026-10-01")],
    last: Annotated[str, typer.Option("--to", help="The last day, too")],
    state: Annotated[Path, typer.Option(help="The gateway's state directory")],
    dest: Annotated[list[str] | None, typer.Option(help="Only to this destination")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The signed report itself")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page to be printed")] = None,
    key: Annotated[
        list[Path] | None, typer.Option(help="audit.pub of before, if the log's key was replaced")
    ] = None,
) -> None:
    """Report what left in some days: per destination, class, level, rule and treatment.

    Made from the ledger, and only if the audit log says the same; signed by the log's key. The
    gateway may run: it tells its log every hour, and the report reaches to there. To be run as the
    gateway's user. Anybody can check it: wardgate audit verify LOG --key audit.pub --report FILE.
    """
    import sqlite3  # noqa: PLC0415

    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.releasereport import making, page  # noqa: PLC0415
    from security.audit import load_public_key  # noqa: PLC0415
    from security.audit.keys import load_key  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415

    own = load_key(state / "audit.key")
    try:
        made = making.make(
            state,
            _day(first, "--from"),
            _day(last, "--to"),
            tuple(sorted(set(dest or ()))),
            own,
            SystemClock().now_us(),
            [load_public_key(each) for each in key or ()],
        )
    except sqlite3.Error as error:
        raise ConfigError(f"{state}: the ledger can't be read: {error}") from error
    missing = sorted({*(dest or ())} - {row.destination for row in made.rows})
    if html is not None:
        write_atomic(html, page.html(made))
    if as_json:
        typer.echo(made.encoded(), nl=False)
        return
    for line in page.table(made):
        typer.echo(line)
    for name in missing:
        typer.echo(f"Nothing was released to, or withheld from, {name!r} in these days.")
    if html is not None:
        typer.echo(f"The page is {html}.")


def _day(text: str, option: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  # late import
    from datetime import date  # noqa: PLC0415

    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {text!r} is no day like 2026-10-31") from error
