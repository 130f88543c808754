"""``wardgate network``: what an operator's network says, and what it was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    connect,
)

if TYPE_CHECKING:
    from protos.wardgate.v1.network_pb2 import QualitySession

app = typer.Typer(
    help="The operator's network: where it sees a device, whose flow is first, whose SIM changed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

quality_app = typer.Typer(
    help="Whose flow is put first; asked for a device by hand.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
app.add_typer(quality_app, name="quality")

ReasonOption = Annotated[str, typer.Option(help="Why: for the audit log")]


@app.callback()
def network() -> None:
    """The operator's network: where it sees a device, whose flow is first, whose SIM changed."""


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
        when = f", located {_when(found.located_us)}"
    why = f": {found.why}" if found.why else ""
    typer.echo(f"network: on campus {found.verdict}{part}{when}{why}")
    typer.echo(f"fence:   {found.fence_state or 'none'}")


@quality_app.callback()
def quality(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Each device whose flow is put first: what for, how far it is, and for how long."""
    if context.invoked_subcommand is not None:
        return
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "NetworkService", "ListQuality", pb.ListQualityRequest(), pb.ListQualityResponse
        )
    _say_sessions(found.sessions)


@quality_app.command()
def ask(
    device: str,
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="For so long")],
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Have a device's flow put first for a while, as for a remote session with it."""
    from gateway.errands import reason_given  # noqa: PLC0415  # --help needs none of it
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415

    request = pb.AskQualityRequest(device_id=device, minutes=minutes, reason=reason_given(reason))
    with connect(config, at, identity) as client:
        found = client.call("NetworkService", "AskQuality", request, pb.AskQualityResponse)
    _say_sessions([found.session])


@quality_app.command("give-back")
def give_back(
    device: str,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """End what was asked for before its time; an alarm keeps its own."""
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    request = pb.GiveBackQualityRequest(device_id=device)
    with connect(config, at, identity) as client:
        client.call("NetworkService", "GiveBackQuality", request, pb.GiveBackQualityResponse)


@app.command()
def swaps(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """When the network last saw each device's SIM and modem change, and what nobody confirmed."""
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        found = client.call(
            "NetworkService", "ListSwaps", pb.ListSwapsRequest(), pb.ListSwapsResponse
        )
    form = "{:<20} {:<25} {:<25} {}"
    typer.echo(form.format("device", "SIM changed", "modem changed", "not confirmed"))
    for each in found.devices:
        sim = _when(each.sim_us) if each.HasField("sim_us") else "not said"
        modem = _when(each.modem_us) if each.HasField("modem_us") else "not said"
        row = form.format(each.device_id, sim, modem, " ".join(each.standing))
        typer.echo(row.rstrip())


@app.command()
def confirm(
    device: str,
    reason: ReasonOption,
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
) -> None:
    """Say that the SIM or modem which changed is right: its mismatch ends."""
    from gateway.errands import reason_given  # noqa: PLC0415  # --help needs none of it
    from protos.wardgate.v1 import network_pb2 as pb  # noqa: PLC0415

    request = pb.ConfirmSwapsRequest(device_id=device, reason=reason_given(reason))
    with connect(config, at, identity) as client:
        found = client.call("NetworkService", "ConfirmSwaps", request, pb.ConfirmSwapsResponse)
    typer.echo(f"ended: {', '.join(found.ended) or 'nothing stood'}")


def _say_sessions(sessions: Iterable[QualitySession]) -> None:
    form = "{:<20} {:<9} {:>7}  {}"
    typer.echo(form.format("device", "state", "left s", "for"))
    for each in sessions:
        needs = " ".join(each.needs)
        typer.echo(form.format(each.device_id, each.state, f"{each.left_seconds:.0f}", needs))


def _when(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(" ", "seconds") if at_us else "never"
