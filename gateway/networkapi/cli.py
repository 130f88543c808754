"""``wardgate network``: what an operator's network says, and what it was asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    connect,
)

app = typer.Typer(
    help="The operator's network: where it sees a device, and whose flow it puts first.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def network() -> None:
    """The operator's network: where it sees a device, and whose flow it puts first."""


@app.command()
def verify(
    device: str,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Ask the network whether a device is on campus: a second opinion beside the fence's."""
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "NetworkService",
            "VerifyLocation",
            pb.VerifyLocationRequest(device_id=device),
            pb.VerifyLocationResponse,
        )
    part = f" ({found.match_percent} %)" if found.HasField("match_percent") else ""
    when = ""
    if found.located_us:
        located = datetime.fromtimestamp(found.located_us / 1e6, UTC)
        when = f", located {located.isoformat(' ', 'seconds')}"
    why = f": {found.why}" if found.why else ""
    typer.echo(f"network: on campus {found.verdict}{part}{when}{why}")
    typer.echo(f"fence:   {found.fence_state or 'none'}")


@app.command()
def quality(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Each device whose flow is put first while an alarm stands, and for how long."""
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "NetworkService", "ListQuality", pb.ListQualityRequest(), pb.ListQualityResponse
        )
    form = "{:<20} {:<9} {:>7}"
    typer.echo(form.format("device", "state", "left s"))
    for each in found.sessions:
        typer.echo(form.format(each.device_id, each.state, f"{each.left_seconds:.0f}"))
