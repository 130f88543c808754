"""``claim`` and ``manufacturer``: devices that come with a manufacturer's certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

claims = typer.Typer(
    help="Devices that asked for a certificate before they were registered.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
manufacturers = typer.Typer(
    help="Whose birth certificates (IDevID) are believed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Number = Annotated[int, typer.Argument(help="The claim's number")]
Name = Annotated[str, typer.Argument(help="The manufacturer's name")]


@claims.command("list")
def list_claims(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """List who wants to be let in."""
    from fleet import client, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call("ListClaims", pb.ListClaimsRequest(), pb.ListClaimsResponse)
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.claims(found.claims, now_us))


@claims.command()
def accept(  # noqa: PLR0913, PLR0917  # the options of a command
    claim: Number,
    device: Annotated[str, typer.Option(help="The id that it gets, registered or new")],
    kind: Annotated[str, typer.Option(help="monitor, drip, ventilator, …")] = "",
    ward: Annotated[str, typer.Option(help="Where it stands")] = "",
    bed: Annotated[str, typer.Option(help="Where it stands")] = "",
    transport: Annotated[str, typer.Option(help="mqtt, coaps or mllp")] = "",
    firmware: Annotated[str, typer.Option(help="The version that it should run")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Say which device it is; it gets its certificate when it asks again."""
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    accepted = pb.AddDeviceRequest(
        device_id=device,
        kind=kind,
        ward=ward,
        bed=bed,
        transport=transport,
        expected_firmware=firmware,
    )
    request = pb.DecideClaimRequest(claim_id=claim, accept_as=accepted)
    _decide(request, fleet, identity, as_json)


@claims.command()
def reject(
    claim: Number, fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False
) -> None:
    """Refuse it, for as long as it goes on asking."""
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    _decide(pb.DecideClaimRequest(claim_id=claim), fleet, identity, as_json)


def _decide(request: object, fleet: str | None, identity: Path | None, as_json: bool) -> None:
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    assert isinstance(request, pb.DecideClaimRequest)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("DecideClaim", request, pb.DecideClaimResponse)
    if as_json:
        typer.echo(tables.as_json(done))
        return
    what = f"{done.claim.manufacturer} {done.claim.serial_number}"
    if done.HasField("device"):
        typer.echo(f"{what} is device {done.device.device_id}")
    else:
        typer.echo(f"{what} is rejected")


@manufacturers.command("add")
def add_manufacturer(
    name: Name,
    root: Annotated[Path, typer.Argument(help="Its root's certificate (PEM)")],
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Believe the birth certificates below a root; compare its fingerprint first.

    A second security officer has to agree (exit code 3: it waits).
    """
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        request = pb.AddManufacturerRequest(name=name, root_pem=root.read_bytes())
        with client.resolve(fleet, identity) as service:
            done = service.call("AddManufacturer", request, pb.AddManufacturerResponse)
    leave_if_pending(done, as_json=as_json)
    if as_json:
        typer.echo(tables.as_json(done))
    else:
        typer.echo(f"{name} is believed: SHA-256 {done.manufacturer.root_sha256.hex()}")


@manufacturers.command("list")
def list_manufacturers(
    fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False
) -> None:
    """List them."""
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.ListManufacturersRequest()
    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call("ListManufacturers", request, pb.ListManufacturersResponse)
    typer.echo(tables.as_json(found) if as_json else tables.manufacturers(found.manufacturers))


@manufacturers.command("remove")
def remove_manufacturer(name: Name, fleet: Fleet = None, identity: Identity = None) -> None:
    """Believe it no longer; what its devices got stays good."""
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.RemoveManufacturerRequest(name=name)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        service.call("RemoveManufacturer", request, pb.RemoveManufacturerResponse)
    typer.echo(f"{name} is removed, with its claims and serial numbers")
