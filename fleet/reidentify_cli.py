"""``reidentify ask | reveal``: from a project's pseudonyms back to the devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

app = typer.Typer(
    help="Find the devices behind a project's pseudonyms; takes two persons and the key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def main() -> None:
    """Find the devices behind a project's pseudonyms; takes two persons and the key."""


@app.command()
def ask(
    pseudonyms: Annotated[list[str], typer.Argument(help="As the destination has them")],
    destination: Annotated[str, typer.Option(help="Who has them")],
    reason: Annotated[str, typer.Option(help="For the one who has to agree, and the audit log")],
    project: Annotated[str, typer.Option(help="The destination's project")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Ask for it (data-protection officer); a security officer has to agree."""
    from fleet import client  # noqa: PLC0415  # late: `--help` must stay fast
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.ReidentifyRequest(
        destination=destination, project=project, pseudonyms=pseudonyms, reason=reason
    )
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("Reidentify", request, pb.ReidentifyResponse)
    leave_if_pending(done, as_json=as_json)


@app.command()
def reveal(
    approval: Annotated[int, typer.Option(help="The request's number")],
    key: Annotated[Path, typer.Option(help="The pseudonym key, on the custodian's machine")],
    digest: Annotated[
        str, typer.Option(help="Of what you have seen by `approval show`; without it, it is asked")
    ] = "",
    audit: Annotated[
        Path | None, typer.Option(help="The custodian's audit log [default: beside the key]")
    ] = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Do what was agreed, once, where the key is; the key does not leave this machine."""
    from fleet import client, custody, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        log = audit or key.with_name(f"{key.name}.audit")
        with (
            custody.Custodian(key, log) as custodian,
            client.resolve(fleet, identity) as service,
        ):
            # Whatever may fail comes before the approval is used up.
            known = [device.device_id for device in service.devices()]
            seen = digest
            if not seen:
                shown = service.call(
                    "GetApproval",
                    pb.GetApprovalRequest(approval_id=approval),
                    pb.GetApprovalResponse,
                ).approval
                typer.echo(tables.approval(shown), err=True)
                typer.confirm("Do this?", abort=True, err=True)
                seen = shown.digest
            request = pb.TakeReidentificationRequest(approval_id=approval, digest=seen)
            taken = service.call("TakeReidentification", request, pb.TakeReidentificationResponse)
            found = custodian.reveal(taken.approval, seen, known)
    _show(found, as_json=as_json)


def _show(found: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        import json  # noqa: PLC0415

        typer.echo(json.dumps({"devices": found}, indent=2))
        return
    rows: list[Any] = [
        f"{pseudonym}  {device or '(no device of the fleet)'}"
        for pseudonym, device in found.items()
    ]
    typer.echo("\n".join(rows))
