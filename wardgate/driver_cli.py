"""``driver list`` and ``driver new``: what protocols a gateway speaks, and how to teach it one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Drivers: list, new.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def main() -> None:
    """Drivers."""


@app.command("list")
def list_drivers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array")] = False,
) -> None:
    """Every driver that is installed, whoever installed it."""
    import json  # noqa: PLC0415  # `--help` must not load what only the command needs

    from gateway.policy_show import table  # noqa: PLC0415
    from wardgate.drivers_installed import installed  # noqa: PLC0415

    found = installed()
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in found], indent=2))
        return
    heads = ("driver", "transport", "distribution", "version")
    table(
        [heads, *((each.name, each.transport, each.distribution, each.version) for each in found)]
    )
    for each in found:
        if each.fault:
            typer.echo(f"{each.name}: {each.fault}", err=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="As in a configuration: small letters, digits, _")],
    directory: Annotated[
        Path, typer.Option("--directory", help="Where the package's directory is made")
    ] = Path(),
) -> None:
    """Write a small driver that works: a package of its own that passes the contract suite.

    It reads one number from a serial line. Replace its codec by your device's, and what follows
    from it; the suite says what is missing.
    """
    from wardgate.driver_new import write  # noqa: PLC0415

    where = write(name, directory)
    typer.echo(f"{where}: a driver, its simulator, its tests. Next:")
    typer.echo(f"  pip install -e '{where}[test]'")
    typer.echo(f"  pytest {where}")
