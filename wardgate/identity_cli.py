"""``identity install``: the identity of a gateway, a core or another service, on its host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="An identity on its host: install.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def main() -> None:
    """An identity on its host."""


@app.command()
def install(
    directory: Annotated[Path, typer.Argument(help="Where it is to lie, in two slots")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Put an identity in place: cat cert.pem key.pem ca.pem | wardgate identity install DIR.

    Run it as the service's user. One that was renewed here stays; one that was issued later than
    what is here replaces it. The holder renews it from then on.
    """
    import json  # noqa: PLC0415  # `--help` must not load what only the command needs
    import sys  # noqa: PLC0415

    from security import handover  # noqa: PLC0415
    from security.slots import Slots  # noqa: PLC0415

    handed = handover.read(sys.stdin.buffer.read(handover.PEM_BYTES_MAX + 1))
    take = handover.wanted if dry_run else handover.install
    taken = take(Slots(directory), handed)
    who = f"{handed.identity.role} {handed.identity.id}"
    until = f"{handed.leaf.not_valid_after_utc:%F %T}Z"
    if as_json:
        said = {"installed": taken, "identity": who, "until": until if taken else None}
        typer.echo(json.dumps(said))
    elif taken:
        verb = "would be installed" if dry_run else "installed"
        typer.echo(f"{verb}: {who}, good until {until}")
    else:
        typer.echo(f"kept: the identity of {who} that is here was issued later, or is the same")
