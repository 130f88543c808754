"""``policy sign | show | propose | list | rollout …``: signed policies, on the fleet's side.

What a gateway makes of a policy (``policy check``, ``matrix``, ``explain``) is in ``gateway.cli``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

if TYPE_CHECKING:
    from protos.wardgate.v1 import fleet_pb2 as pb

app = typer.Typer(
    help="What may leave, and in which shape.", no_args_is_help=True, rich_markup_mode=None
)
rollout_app = typer.Typer(
    help="Bring a signed policy to the gateways, stage by stage.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(rollout_app, name="rollout")

PAUSED_EXIT = 1

Text = Annotated[Path, typer.Argument(help="The policy, as Cedar text")]
Invariants = Annotated[
    Path | None,
    typer.Option("--invariants", help="TOML: what must hold of it [default: what is shipped]"),
]


@app.command()
def sign(  # the options of a command
    file: Text,
    config: Annotated[Path, typer.Option(help="The fleet's configuration; run on its host")],
    out: Annotated[Path, typer.Option(help="The signed policy, to be carried")],
    number: Annotated[
        int, typer.Option(min=0, help="Greater than all before [default: the next]")
    ] = 0,
    invariants: Invariants = None,
    gateway: Annotated[
        Path | None,
        typer.Option(help="A gateway.toml: for this gateway and its destinations alone"),
    ] = None,
    tenant: Annotated[str, typer.Option(help="For gateways of this tenant alone")] = "",
) -> None:
    """Sign a policy on the fleet's host; for the first one, and for gateways without a link.

    Nobody else is asked: whoever rules this host holds the issuing key. Otherwise see
    `wardgate policy propose`.
    """
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import policy_host  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415

    with one_line_errors():
        loaded = fleet_config.load(config)
        whom = policy_host.whose(gateway) if gateway else policy_host.EVERYBODY
        bundle, encoded = policy_host.sign(
            loaded,
            _read(file),
            _read(invariants),
            whom._replace(tenant=tenant),
            SystemClock(),
            number,
        )
        write_atomic(out, encoded)
    typer.echo(f"{out}: policy {bundle.number}, for {bundle.gateway or 'every gateway'}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A signed policy")],
    trust: Annotated[
        Path | None, typer.Option(help="Roots (PEM): verify that one of them vouches for it")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a signed policy: number, signer, for whom, and the text.

    Exit code 2 when it is not what was signed, or --trust does not vouch for it.
    """
    from fleet import policy_tables  # noqa: PLC0415
    from security.pki import load_certificates  # noqa: PLC0415
    from security.policybook import read_file  # noqa: PLC0415
    from security.policybundle import check_whole, peek, read_bundle  # noqa: PLC0415

    with one_line_errors():
        encoded = read_file(file)
        bundle, signer = peek(encoded)
        if trust is None:
            check_whole(encoded)
        else:
            read_bundle(encoded, load_certificates(trust), bundle.trust_domain)
    shown = policy_tables.bundle(bundle, signer, vouched=trust is not None)
    typer.echo(policy_tables.as_json(shown) if as_json else policy_tables.text(shown))


@app.command()
def propose(  # the options of a command
    file: Text,
    invariants: Invariants = None,
    for_: Annotated[
        list[str] | None,
        typer.Option("--for", help="A gateway; repeatable [default: all that were heard of]"),
    ] = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Have a policy judged for every gateway, compared with what is in force, and signed.

    Where it lets out what did not leave before, a second person has to agree first (exit code 3).
    It reaches nobody before `wardgate policy rollout start`.
    """
    from fleet import client, policy_tables, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        request = pb.ProposePolicyRequest(
            text=_read(file), invariants=_read(invariants), gateways=for_ or ()
        )
        with client.resolve(fleet, identity) as service:
            done = service.call("ProposePolicy", request, pb.ProposePolicyResponse)
    if not as_json:
        typer.echo(policy_tables.widened(done.policy))
    leave_if_pending(done, as_json=as_json)
    if as_json:
        typer.echo(tables.as_json(done))
        return
    number = done.policy.number
    typer.echo(f"policy {number} is signed; next: wardgate policy rollout start {number}")


@app.command("list")
def list_(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """List signed policies, with who proposed and who approved each."""
    from fleet import client, policy_tables, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call("ListPolicies", pb.ListPoliciesRequest(), pb.ListPoliciesResponse)
        status = service.call(
            "GetFleetStatus", pb.GetFleetStatusRequest(), pb.GetFleetStatusResponse
        )
    typer.echo(
        tables.as_json(found)
        if as_json
        else policy_tables.policies(found.policies, status.gateways)
    )


@app.command()
def fetch(  # options
    number: Annotated[int, typer.Argument(min=1)],
    gateway: Annotated[str, typer.Argument(help="Whose signed policy")],
    out: Annotated[Path, typer.Option(help="The signed policy, to be carried")],
    fleet: Fleet = None,
    identity: Identity = None,
) -> None:
    """Write a gateway's signed policy to a file, to be carried where the fleet does not reach."""
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415

    request = pb.GetPolicyRequest(number=number, gateway=gateway)
    with one_line_errors():
        with client.resolve(fleet, identity) as service:
            found = service.call("GetPolicy", request, pb.GetPolicyResponse)
        write_atomic(out, found.signed_policy)
    typer.echo(f"{out}: policy {number}, for {gateway}")


@rollout_app.command("start")
def rollout_start(  # noqa: PLR0913, PLR0917  # the options of a command
    number: Annotated[int, typer.Argument(min=1, help="Of the signed policy")],
    canary: Annotated[
        list[str] | None, typer.Option(help="A gateway of the first stage; repeatable")
    ] = None,
    then: Annotated[
        list[str] | None,
        typer.Option(
            help="A further stage: names with commas, a percentage such as 25%, or ward:NAME;"
            " repeatable. All others are the last one"
        ),
    ] = None,
    soak: Annotated[float, typer.Option(min=0, help="Minutes that a stage must be well")] = 30.0,
    wait: Annotated[
        float, typer.Option(min=0.01, help="Hours to wait for gateways that are away")
    ] = 24.0,
    manual: Annotated[bool, typer.Option("--manual", help="Ask after each stage")] = False,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Begin to roll a signed policy out."""
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        stages = [pb.RolloutStage(gateways=canary)] if canary else []
        stages += [_stage(each) for each in then or ()]
        request = pb.StartPolicyRolloutRequest(
            number=number, stages=stages, soak_s=soak * 60, wait_s=wait * 3600, manual=manual
        )
        with client.resolve(fleet, identity) as service:
            done = service.call("StartPolicyRollout", request, pb.StartPolicyRolloutResponse)
    _told(done.rollout, as_json=as_json)


@rollout_app.command("status")
def rollout_status(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """Show the last rollout; exit code 1 while it is paused."""
    from fleet import client  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        with client.resolve(fleet, identity) as service:
            found = service.call(
                "GetPolicyRollout", pb.GetPolicyRolloutRequest(), pb.GetPolicyRolloutResponse
            )
        if not found.HasField("rollout"):
            raise ConfigError("there was no rollout yet")
    _told(found.rollout, as_json=as_json)
    if found.rollout.state == "paused":
        raise typer.Exit(PAUSED_EXIT)


@rollout_app.command("pause")
def rollout_pause(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """Begin no further stage; who was told of the policy keeps it."""
    _control("PAUSE", fleet, identity, as_json=as_json)


@rollout_app.command("resume")
def rollout_resume(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """Go on: with the next stage if this one is over, else with this one, told once more."""
    _control("RESUME", fleet, identity, as_json=as_json)


@rollout_app.command("abort")
def rollout_abort(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """End it; where the policy is in force it stays, for numbers only grow."""
    _control("ABORT", fleet, identity, as_json=as_json)


@rollout_app.command("skip")
def rollout_skip(
    gateway: Annotated[str, typer.Argument(help="Its id")],
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a gateway no more; it gets the policy when it comes back."""
    _control("SKIP", fleet, identity, gateway, as_json=as_json)


def _control(
    action: str, fleet: str | None, identity: Path | None, gateway: str = "", *, as_json: bool
) -> None:
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.ControlPolicyRolloutRequest(action=f"ROLLOUT_ACTION_{action}", gateway=gateway)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("ControlPolicyRollout", request, pb.ControlPolicyRolloutResponse)
    _told(done.rollout, as_json=as_json)


def _stage(words: str) -> pb.RolloutStage:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    kind, colon, ward = words.partition(":")
    if colon and kind == "ward":
        return pb.RolloutStage(ward=ward)
    if words.endswith("%"):
        if not words[:-1].isdigit() or not 0 < int(words[:-1]) <= 100:
            raise ConfigError(f"{words} is no percentage, such as 25%")
        return pb.RolloutStage(percent=int(words[:-1]))
    return pb.RolloutStage(gateways=[each for each in words.split(",") if each])


def _told(rollout: Any, *, as_json: bool) -> None:
    from fleet import policy_tables, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(rollout) if as_json else policy_tables.rollout(rollout, now_us))


def _read(path: Path | None) -> str:
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    if path is None:
        return ""
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text: {error}") from error
