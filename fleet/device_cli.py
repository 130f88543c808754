"""``device add | list | show | update | revoke | command``: what an operator does with devices."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.cli import AsJson, Fleet, Identity, one_line_errors
from fleet.cli import revoke as revoke_any

app = typer.Typer(
    help="Devices: add, list, show, update, revoke.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="The device's id")]


@app.callback()
def main() -> None:
    """Devices: add, list, show, update, revoke."""


@app.command()
def add(  # noqa: PLR0913, PLR0917  # the options of a command
    device: Name,
    kind: Annotated[str, typer.Option(help="monitor, drip, ventilator, …")] = "",
    ward: Annotated[str, typer.Option(help="Where it stands")] = "",
    bed: Annotated[str, typer.Option(help="Where it stands")] = "",
    transport: Annotated[str, typer.Option(help="mqtt, coaps, serial or broker")] = "",
    firmware: Annotated[str, typer.Option(help="The version that it should run")] = "",
    csr: Annotated[Path | None, typer.Option(help="Its certificate request (PEM or DER)")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Make a key here, and put key and certificate there")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --csr: where the certificate goes [default: shown]")
    ] = None,
    days: Annotated[
        int, typer.Option(min=0, help="How long it is good [default: the service's]")
    ] = 0,
    renew: Annotated[bool, typer.Option(help="A further certificate for a known device")] = False,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Register a device, and issue its certificate.

    With --bundle the key is made here and never leaves this machine; with --csr it never leaves
    the device; with neither (a serial device) there is no certificate.
    """
    from fleet import client, tables  # noqa: PLC0415  # late: `--help` must stay fast
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security import files, pki  # noqa: PLC0415

    request = pb.AddDeviceRequest(
        device_id=device,
        kind=kind,
        ward=ward,
        bed=bed,
        transport=transport,
        expected_firmware=firmware,
        days=days,
        renew=renew,
    )
    with one_line_errors():
        if csr and bundle:
            raise ConfigError("give --csr or --bundle, not both")
        key = pki.new_key()
        if csr:
            request.csr = csr.read_bytes()
        if bundle:
            if (bundle / "key.pem").exists():
                raise ConfigError(f"{bundle} holds an identity already")
            request.csr = pki.create_csr(key, device)
        with client.resolve(fleet, identity) as service:
            added = service.call("AddDevice", request, pb.AddDeviceResponse)
        if bundle:
            bundle.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write_atomic(bundle / "key.pem", pki.key_pem(key), files.SECRET_MODE)
            files.write_atomic(bundle / "cert.pem", added.certificate_pem)
            files.write_atomic(bundle / "ca.pem", added.root_pem)
        elif out:
            files.write_atomic(out, added.certificate_pem)
    if as_json:
        typer.echo(tables.as_json(added))
    elif csr and not out:
        typer.echo(added.certificate_pem.decode(), nl=False)
    else:
        where = f": {bundle or out}" if bundle or out else ""
        typer.echo(f"device {device} is {tables.standing(added.device)}{where}")


@app.command("list")
def list_(
    ward: Annotated[str, typer.Option(help="Only this ward")] = "",
    health: Annotated[
        str, typer.Option(help="Only: unknown, healthy, degraded, silent or lost")
    ] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """List devices with their health."""
    from fleet import client, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        name = f"HEALTH_{health.upper() or 'UNSPECIFIED'}"
        if name not in pb.Health.keys():  # noqa: SIM118  # not a mapping
            raise ConfigError(f"{health}: no such health")
        with client.resolve(fleet, identity) as service:
            found = service.devices(ward, pb.Health.Value(name))
    if as_json:
        typer.echo(tables.as_json(pb.ListDevicesResponse(devices=found)))
    else:
        typer.echo(tables.devices(found, SystemClock().now_us()))


@app.command()
def show(
    device: Name, fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False
) -> None:
    """Show everything about one device."""
    from fleet import client, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.GetDeviceRequest(device_id=device)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call("GetDevice", request, pb.GetDeviceResponse).device
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.device(found, now_us))


@app.command()
def update(  # noqa: PLR0913, PLR0917  # the options of a command
    device: Name,
    kind: Annotated[str | None, typer.Option()] = None,
    ward: Annotated[str | None, typer.Option()] = None,
    bed: Annotated[str | None, typer.Option()] = None,
    firmware: Annotated[str | None, typer.Option(help="The version that it should run")] = None,
    standing: Annotated[
        str | None, typer.Option(help="active, suspended or retired; the last two end sessions")
    ] = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Change what is registered of a device."""
    from fleet import client, tables  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        name = f"STANDING_{standing.upper()}" if standing else None
        if name and name not in pb.Standing.keys():  # noqa: SIM118  # not a mapping
            raise ConfigError(f"{standing}: no such standing")
        request = pb.UpdateDeviceRequest(
            device_id=device,
            kind=kind,
            ward=ward,
            bed=bed,
            expected_firmware=firmware,
            standing=name,
        )
        with client.resolve(fleet, identity) as service:
            found = service.call("UpdateDevice", request, pb.UpdateDeviceResponse).device
    typer.echo(tables.as_json(found) if as_json else f"device {device} is {tables.standing(found)}")


@app.command()
def revoke(  # options
    device: Name,
    reason: Annotated[str, typer.Option(help="For the audit log")] = "",
    serial: Annotated[str, typer.Option(help="Only this certificate")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a device: its certificates, or its standing if it has none; its sessions end at once.

    A device on a serial port or behind a broker is kept out there, too.
    """
    revoke_any("device", device, reason, serial, fleet, identity, as_json)


@app.command()
def command(
    device: Name,
    what: Annotated[str, typer.Argument(help="identify, report or sync_time")],
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Ask a connected device to show itself, to report, or to set its clock.

    Exit code 1 when the device was not reached or did not answer.
    """
    from fleet import client, tables  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors():
        name = f"COMMAND_KIND_{what.upper()}"
        if name not in pb.CommandKind.keys():  # noqa: SIM118  # not a mapping
            raise ConfigError(f"{what}: a device can be asked to identify, report or sync_time")
        request = pb.SendCommandRequest(device_id=device, kind=name)
        with client.resolve(fleet, identity) as service:
            done = service.call("SendCommand", request, pb.SendCommandResponse)
    state = pb.CommandState.Name(done.state).removeprefix("COMMAND_STATE_").lower()
    if as_json:
        typer.echo(tables.as_json(done))
    else:
        typer.echo(f"{device}: {done.result or state.replace('_', ' ')}")
    if done.state != pb.COMMAND_STATE_ANSWERED:
        raise typer.Exit(1)
