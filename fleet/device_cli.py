"""``device add | provision | list | show | update | revoke | command``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.cli import revoke as revoke_any
from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

if TYPE_CHECKING:
    from security.pki import SigningKey

app = typer.Typer(
    help="Devices: add, provision, list, show, update, revoke.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="The device's id")]
Supi = Annotated[str | None, typer.Option(help="Its SIM: imsi-001010000000001")]
Gpsi = Annotated[str | None, typer.Option(help="Its number: msisdn-8613800000001")]
Imei = Annotated[str | None, typer.Option(help="Its modem: IMEI or IMEISV")]
Dnn = Annotated[str | None, typer.Option(help="The data network that it uses")]
Snssai = Annotated[str | None, typer.Option(help="Its slice: SST, or SST-SD as 1-000001")]
Tac = Annotated[
    list[str] | None, typer.Option(help="A tracking area where it may be; repeat for more")
]


@app.callback()
def main() -> None:
    """Devices: add, provision, list, show, update, revoke."""


@app.command()
def add(  # noqa: PLR0913, PLR0917  # the options of a command
    device: Name,
    kind: Annotated[str, typer.Option(help="monitor, drip, ventilator, …")] = "",
    ward: Annotated[str, typer.Option(help="Where it stands")] = "",
    bed: Annotated[str, typer.Option(help="Where it stands")] = "",
    transport: Annotated[str, typer.Option(help="mqtt, coaps, mllp, serial, lan or broker")] = "",
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
    token_hours: Annotated[
        int, typer.Option(min=0, help="How long its token is good [default: the service's]")
    ] = 0,
    manufacturer: Annotated[
        str, typer.Option(help="Whose birth certificate it has; see `wardgate manufacturer`")
    ] = "",
    serial_number: Annotated[str, typer.Option(help="In that certificate")] = "",
    qr: Annotated[bool, typer.Option(help="Show the token's QR code")] = True,
    supi: Supi = None,
    gpsi: Gpsi = None,
    imei: Imei = None,
    dnn: Dnn = None,
    snssai: Snssai = None,
    tac: Tac = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Register a device, and issue its certificate.

    With --bundle the key is made here and never leaves this machine; with --csr it never leaves
    the device; with neither it gets a one-time token, with which the device itself fetches its
    certificate (EST), unless its manufacturer's certificate is its token, or it has none to get
    (a serial device).
    """
    from fleet import client, handout  # noqa: PLC0415  # late: `--help` must stay fast
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security import files, pki  # noqa: PLC0415
    from security.slots import Slots  # noqa: PLC0415

    request = pb.AddDeviceRequest(
        device_id=device,
        kind=kind,
        ward=ward,
        bed=bed,
        transport=transport,
        expected_firmware=firmware,
        days=days,
        renew=renew,
        manufacturer=manufacturer,
        serial_number=serial_number,
        token_hours=token_hours,
        token=not (csr or bundle or manufacturer) and transport not in {"serial", "lan", "broker"},
        network=pb.NetworkIdentity(
            supi=supi, gpsi=gpsi, imei=imei, dnn=dnn, snssai=snssai, tacs=tac or ()
        ),
    )
    with one_line_errors():
        if bool(manufacturer) is not bool(serial_number):
            raise ConfigError("give --manufacturer and --serial-number, or neither")
        key = pki.new_key()
        request.csr = _csr(device, csr, bundle, key)
        with client.resolve(fleet, identity) as service:
            added = service.call("AddDevice", request, pb.AddDeviceResponse)
        if bundle:
            Slots(bundle).create(key, added.certificate_pem, added.root_pem)
        elif out:
            files.write_atomic(out, added.certificate_pem)
    if as_json:
        typer.echo(handout.as_json(added))
    elif csr and not out:
        typer.echo(added.certificate_pem.decode(), nl=False)
    else:
        where = str(bundle or out or "")
        typer.echo(handout.sheet(added, where, asked=request.token, qr=qr))


def _csr(device: str, csr: Path | None, bundle: Path | None, key: SigningKey) -> bytes:
    """The request to send: the device's own, one for the key made here, or none."""
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security import pki  # noqa: PLC0415

    if csr and bundle:
        raise ConfigError("give --csr or --bundle, not both")
    if bundle and (bundle / "key.pem").exists():
        raise ConfigError(f"{bundle} holds an identity already")
    if csr:
        return csr.read_bytes()
    return pki.create_csr(key, device) if bundle else b""


@app.command()
def provision(  # the options of a command
    table: Annotated[
        Path,
        typer.Argument(
            help="CSV: id, kind, ward, bed, transport, firmware, manufacturer, serial_number,"
            " supi, gpsi, imei, dnn, snssai, tac"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where results go [default: FILE.results.csv]")
    ] = None,
    bundles: Annotated[
        Path | None, typer.Option(help="Make keys here, a directory for each device")
    ] = None,
    token_hours: Annotated[
        int, typer.Option(min=0, help="How long tokens are good [default: the service's]")
    ] = 0,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Devices at a time")] = 8,
    fleet: Fleet = None,
    identity: Identity = None,
) -> None:
    """Register many devices, with a token or a bundle each.

    Run it again after a failure: what is done is skipped. Exit code 1 when a row failed.
    """
    from fleet import client  # noqa: PLC0415
    from fleet import provision as work  # noqa: PLC0415
    from fleet import provision_files as files  # noqa: PLC0415

    with one_line_errors():
        rows, bad = files.read_table(table)
        options = work.Options(bundles, token_hours, parallel)
        place = out or table.with_name(f"{table.stem}.results.csv")
        with files.Results(place) as results, client.resolve(fleet, identity) as service:
            left = sum(not results.done(row.id) for row in rows)
            # Not on standard output, and only a line where nobody watches.
            with typer.progressbar(length=left, label="devices", file=sys.stderr) as bar:
                work.provision(service, rows, results, options, lambda _: bar.update(1))
            failed = list(files.failures(rows, results, bad))
            done = sum(results.done(row.id) for row in rows)
    for each in failed:
        typer.echo(f"{table}, line {each.line}: {each.id or '?'}: {each.error}", err=True)
    typer.echo(f"{done} of {len(rows) + len(bad)} devices done, {len(failed)} failed: {place}")
    if failed:
        raise typer.Exit(1)


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
    kind: Annotated[str | None, typer.Option(help="monitor, drip, ventilator, …")] = None,
    ward: Annotated[str | None, typer.Option(help="Where it stands from now on")] = None,
    bed: Annotated[str | None, typer.Option(help="Where it stands from now on")] = None,
    firmware: Annotated[str | None, typer.Option(help="The version that it should run")] = None,
    transport: Annotated[
        str | None, typer.Option(help="The only one: mqtt, coaps, mllp, serial, lan, broker, or ''")
    ] = None,
    standing: Annotated[
        str | None, typer.Option(help="active, suspended or retired; the last two end sessions")
    ] = None,
    supi: Supi = None,
    gpsi: Gpsi = None,
    imei: Imei = None,
    dnn: Dnn = None,
    snssai: Snssai = None,
    tac: Tac = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Change what is registered of a device; '' takes a word away."""
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
            transport=transport,
        )
        change = pb.NetworkChange(
            supi=supi,
            gpsi=gpsi,
            imei=imei,
            dnn=dnn,
            snssai=snssai,
            tacs=None if tac is None else " ".join(tac),
        )
        if change.ListFields():
            request.network.CopyFrom(change)
        with client.resolve(fleet, identity) as service:
            found = service.call("UpdateDevice", request, pb.UpdateDeviceResponse).device
    typer.echo(tables.as_json(found) if as_json else f"device {device} is {tables.standing(found)}")


@app.command()
def revoke(  # noqa: PLR0913, PLR0917  # the options of a command
    device: Annotated[str, typer.Argument(help="The device's id")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every device in service")] = False,
    ward: Annotated[str, typer.Option(help="Every device of a ward")] = "",
    file: Annotated[Path | None, typer.Option(help="Devices, one a line")] = None,
    reason: Annotated[str, typer.Option(help="For the audit log")] = "",
    serial: Annotated[str, typer.Option(help="Only this certificate")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a device: its certificates, or its standing if it has none; its sessions end at once.

    A device on a serial port or behind a broker is kept out there, too. With --all, --ward or
    --file all of them or none; a second operator has to agree to many (exit code 3: it waits).
    """
    from fleet import client, tables  # noqa: PLC0415
    from fleet.approval_cli import selection  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    if device and not (every or ward or file):
        revoke_any("device", device, reason, serial, fleet, identity, as_json)
        return
    with one_line_errors():
        if device or serial or (every, bool(ward), bool(file)).count(True) != 1:
            raise ConfigError("give one device, or one of --all, --ward and --file")
        request = pb.RevokeDevicesRequest(reason=reason, **selection(every, ward, file))
        with client.resolve(fleet, identity) as service:
            done = service.call("RevokeDevices", request, pb.RevokeDevicesResponse)
    leave_if_pending(done, as_json=as_json)
    told = ", ".join(done.gateways) or "none is attached"
    words = f"revoked {done.devices} devices; gateways told: {told}"
    typer.echo(tables.as_json(done) if as_json else words)


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
