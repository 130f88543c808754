"""``fleet radius check | export | watch``: secondary authentication, on the fleet's host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.options import one_line_errors

if TYPE_CHECKING:
    from fleet.radius.config import RadiusTable

app = typer.Typer(
    help="Secondary authentication of a 5G network, by FreeRADIUS.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Config = Annotated[Path, typer.Option(help="The fleet's configuration; run on its host")]
LOOK_EVERY_S = 1.0


@app.callback()
def main() -> None:
    """Secondary authentication of a 5G network, by FreeRADIUS."""


@app.command()
def check(config: Config) -> None:
    """Say what is wrong with the table [radius] and the SMFs' secrets, or for whom it is."""
    from fleet.radius.making import read_secrets  # noqa: PLC0415  # late: `--help` must stay fast

    with one_line_errors():
        table = _table(config)
        read_secrets(table)
    typer.echo(f"{config}: for {', '.join(table.clients) or 'no SMF: see [radius.clients.NAME]'}")


@app.command()
def export(
    config: Config,
    out: Annotated[
        Path | None, typer.Option(help="Where it is written [default: radius.directory]")
    ] = None,
) -> None:
    """Write FreeRADIUS' configuration as the registry is now; the running service does so itself.

    To look at it, or to carry it to another host.
    """
    import asyncio  # noqa: PLC0415  # late: `--help` must stay fast

    from fleet.radius.exporting import export as write  # noqa: PLC0415

    with one_line_errors():
        written = asyncio.run(write(config, out or _table(config).directory))
    typer.echo(f"{written.certificates} certificates: {written.directory}")


@app.command()
def watch(
    config: Config,
    freeradius: Annotated[str, typer.Option(help="The server, for its check")] = "freeradius",
    reload: Annotated[
        str, typer.Option(help="Makes it read its tables again")
    ] = "systemctl reload wardgate-radius.service",
    restart: Annotated[
        str, typer.Option(help="Makes it begin anew")
    ] = "systemctl restart wardgate-radius.service",
    once: Annotated[bool, typer.Option("--once", help="Look once, and end")] = False,
) -> None:
    """Put what the fleet writes in force, once FreeRADIUS finds it right; until stopped."""
    import logging  # noqa: PLC0415
    import time  # noqa: PLC0415

    from fleet.radius.agent import Agent, Commands  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with one_line_errors():
        agent = Agent(_table(config), Commands(freeradius, reload, restart), time.monotonic)
        agent.look()
        while not once:
            time.sleep(LOOK_EVERY_S)
            try:
                agent.look()
            except OSError as error:
                logging.getLogger(__name__).error("%s", error)  # noqa: TRY400  # it is tried again


def _table(config: Path) -> RadiusTable:
    from fleet import config as fleet_config  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    table = fleet_config.load(config).radius
    if table is None:
        raise ConfigError(f"{config}: no table [radius], see docs/secondary-authentication.md")
    return table
