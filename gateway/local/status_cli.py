"""``wardgate gateway status``."""

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


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where the running gateway stands: devices, alarms, destinations."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    from protos.wardgate.v1 import status_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            "StatusService", "GetStatus", pb.GetStatusRequest(), pb.GetStatusResponse
        )
    if as_json:
        say_json(found)
        return
    since = datetime.fromtimestamp(found.started_us / 1e6, UTC)
    running = timedelta(seconds=round((found.now_us - found.started_us) / 1e6))
    word = "healthy" if found.healthy else "NOT HEALTHY"
    typer.echo(f"{found.gateway}  {found.software_version}  {word}")
    typer.echo(f"running      {running}, since {since:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(
        f"devices      {found.devices_heard_lately} heard within a minute of {found.devices}"
    )
    told = ", ".join(f"{each.count} {each.priority}" for each in found.alarms)
    typer.echo(f"alarms       {told}")
    for each in found.destinations:
        waits = ", ".join(f"{lag} {lane}" for lane, lag in sorted(each.lag.items()) if lag)
        state = "connected" if each.connected else "NOT CONNECTED"
        typer.echo(f"{each.name:<12} {state}{f', waiting: {waits}' if waits else ''}")
