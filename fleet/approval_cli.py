"""``approval list | show | approve | reject``, and what a call says that has to wait."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleet.options import AsJson, Fleet, Identity, one_line_errors

if TYPE_CHECKING:
    from protos.wardgate.v1 import fleet_pb2 as pb

app = typer.Typer(
    help="Dangerous calls that wait for a second operator.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Number = Annotated[int, typer.Argument(help="The request's number")]


@app.callback()
def main() -> None:
    """Dangerous calls that wait for a second operator."""


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too")] = False,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """List what waits."""
    from fleet import client, tables  # noqa: PLC0415  # late: `--help` must stay fast
    from gateway.clock import SystemClock  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.ListApprovalsRequest(all=every)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call("ListApprovals", request, pb.ListApprovalsResponse)
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.approvals(found.approvals, now_us))


@app.command()
def show(
    number: Number, fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False
) -> None:
    """Show one request whole, with exactly what would be done."""
    from fleet import client, tables  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = _get(service, number)
    typer.echo(tables.as_json(found) if as_json else tables.approval(found))


@app.command()
def approve(
    number: Number,
    digest: Annotated[
        str, typer.Option(help="Of what you have seen by `show`; without it, it is shown and asked")
    ] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Agree to somebody else's request; it is executed at once, or waits to be taken elsewhere.

    Exit code 1 when it could not be executed any more.
    """
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        seen = digest
        if not seen:
            found = _get(service, number)
            typer.echo(tables.approval(found), err=True)
            typer.confirm("Approve this?", abort=True, err=True)
            seen = found.digest
        request = pb.DecideApprovalRequest(approval_id=number, approve=True, digest=seen)
        done = service.call("DecideApproval", request, pb.DecideApprovalResponse).approval
    _told(done, as_json=as_json)
    if done.state not in {"executed", "approved"}:
        raise typer.Exit(1)


@app.command()
def reject(
    number: Number,
    reason: Annotated[str, typer.Option(help="For the other one, and the audit log")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a request, or withdraw your own."""
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.DecideApprovalRequest(approval_id=number, reason=reason)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("DecideApproval", request, pb.DecideApprovalResponse).approval
    _told(done, as_json=as_json)


def _get(service: Any, number: int) -> pb.Approval:
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.GetApprovalRequest(approval_id=number)
    found: pb.Approval = service.call("GetApproval", request, pb.GetApprovalResponse).approval
    return found


def _told(done: pb.Approval, *, as_json: bool) -> None:
    from fleet import tables  # noqa: PLC0415

    why = f": {done.detail}" if done.detail else ""
    words = f"request {done.approval_id} ({done.kind}) is {done.state}{why}"
    typer.echo(tables.as_json(done) if as_json else words)


def selection(every: bool, ward: str, file: Path | None) -> dict[str, Any]:
    """What a bulk call means by its options.

    Raises:
        ConfigError: the file can't be read as a list of devices.
    """
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    names: list[str] = []
    if file:
        names = [line.split("#")[0].strip() for line in file.read_text().splitlines()]
        names = [name for name in names if name]
        if not names:
            raise ConfigError(f"{file} names no device")
    return {"all": every, "ward": ward, "device_ids": names}
