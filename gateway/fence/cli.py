"""``wardgate fence``: where the network sees a gateway's devices."""

from __future__ import annotations

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    JsonOption,
    connect,
    say_json,
)

app = typer.Typer(
    help="The electronic fence: where the network sees devices.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def fence() -> None:
    """The electronic fence: where the network sees devices."""


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every device with a fence, or of which the radio network told: class, state, zones, link."""
    from protos.wardgate.v1 import fence_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "FenceService", "ListFenced", pb.ListFencedRequest(), pb.ListFencedResponse
        )
    if as_json:
        say_json(found, whole=False)
        return
    form = "{:<20} {:<12} {:<9} {:<28} {:<12} {}"
    typer.echo(form.format("device", "class", "state", "zones", "ward", "link").rstrip())
    for each in found.devices:
        power = f"{each.link.rsrp_dbm:.0f} dBm" if each.link.HasField("rsrp_dbm") else ""
        row = form.format(
            each.device_id,
            getattr(each, "class"),
            each.state,
            ",".join(each.zones),
            each.ward,
            " ".join(word for word in (each.link.cell, power) if word),
        )
        typer.echo(row.rstrip())
