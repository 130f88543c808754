"""``wardgate gateway packetfilter``: see, check and keep the kernel's rules for a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The kernel's rules on what the gateway may reach.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="gateway.toml", envvar="WARDGATE_GATEWAY_CONFIG")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines")]
DEFAULT_CONFIG = Path("/etc/wardgate/gateway.toml")


@app.command()
def show(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the rules, as nft takes them."""
    made = _compiled(config)
    typer.echo(made.script, nl=False)
    if made.fault:
        typer.echo(f"# {made.fault}", err=True)


@app.command()
def check(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let the kernel check the rules, in a namespace of their own; nothing changes."""
    from gateway.packetfilter import nft  # noqa: PLC0415
    from gateway.packetfilter.ruleset import rule_count  # noqa: PLC0415

    made = _compiled(config)
    nft.check(made.script)
    open_to = [each.name for each in made.openings.outgoing if each.released]
    closed = [each.name for each in made.openings.outgoing if not each.released]
    typer.echo(f"{rule_count(made.script)} rules are in order, in table inet {made.table}")
    typer.echo(f"open:   {', '.join(open_to) or 'nothing'}")
    typer.echo(f"closed: {', '.join(closed) or 'nothing'}")
    if made.openings.names:
        typer.echo(
            f"The DNS is open, for these are names: {', '.join(made.openings.names)}. "
            "With addresses and server_name it would not be."
        )
    if made.fault:
        typer.echo(made.fault)


@app.command("apply")
def apply_now(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Put the rules in force once; needs root. The service does it at each change."""
    from gateway.packetfilter import nft  # noqa: PLC0415

    made = _compiled(config)
    nft.apply(made.script)
    typer.echo(f"in force: table inet {made.table}")


@app.command()
def remove(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take the rules away; needs root. The service would put them back."""
    from gateway.config import load  # noqa: PLC0415
    from gateway.packetfilter import nft  # noqa: PLC0415
    from gateway.packetfilter.ruleset import table_name  # noqa: PLC0415

    table = table_name(load(config).gateway.name)
    nft.remove(table)
    typer.echo(f"removed: table inet {table}")


@app.command()
def counters(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Print what the service told last: packets and bytes by rule."""
    import msgspec  # noqa: PLC0415

    from gateway.config import load  # noqa: PLC0415
    from gateway.packetfilter import snapshot  # noqa: PLC0415

    loaded = load(config)
    name = loaded.gateway.name
    found = snapshot.read(loaded.packet_filter.file(loaded.gateway.tenant), name)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    typer.echo(f"{'rule':40} {'packets':>12} {'bytes':>16}")
    for rule, count in snapshot.counts(found).items():
        typer.echo(f"{rule:40} {count.packets:>12} {count.bytes:>16}")
    if found.fault:
        typer.echo(f"The newest files are not what is in force: {found.fault}")


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Keep the rules in force and tell their counters, until stopped; needs CAP_NET_ADMIN."""
    import logging  # noqa: PLC0415

    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.packetfilter import service  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    service.run(config, SystemClock())


def _compiled(config: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202  # late import
    from gateway.packetfilter.service import compiled  # noqa: PLC0415

    return compiled(config)
