"""``fleet init | run | status | gateway | configure | …``; for devices see ``device_cli``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet import radius_cli
from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

app = typer.Typer(
    help="The fleet service: gateways, health, certificates.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.add_typer(radius_cli.app, name="radius")


@app.callback()
def main() -> None:
    """The fleet service: gateways, health, certificates."""


@app.command()
def init(  # options
    directory: Annotated[Path, typer.Argument(help="Where the service will live")],
    trust_domain: Annotated[str, typer.Option(help="Such as ward.hospital.example")],
    root_dir: Annotated[
        Path | None, typer.Option(help="For the root's key [default: DIRECTORY-root]")
    ] = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on")] = "127.0.0.1:7443",
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address that clients dial; repeatable")
    ] = None,
    web_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where devices enrol (EST); 0: nowhere")
    ] = 8443,
    operator: Annotated[str, typer.Option(help="The first operator")] = "admin",
) -> None:
    """Make the PKI, the service's configuration and a first operator."""
    from fleet import setup  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    hosts = tuple(host or ("localhost", "127.0.0.1", "::1"))
    root = root_dir or directory.with_name(f"{directory.resolve().name}-root")
    options = setup.InitOptions(
        directory, root, trust_domain, listen, hosts, operator, web_port=web_port
    )
    with one_line_errors():
        made = setup.init(options, SystemClock())
    typer.echo(f"configuration   {made.config}")
    typer.echo(f"operator        {made.operator}")
    typer.echo(f"root            {made.root}: move it off this host and keep it safe")
    typer.echo(f"next            wardgate fleet run --config {made.config}")


@app.command(hidden=True)  # the former name of `ca issue`
def issue(  # noqa: PLR0913, PLR0917  # the options of a command
    role: Annotated[str, typer.Argument(help="gateway, service or operator")],
    name: Annotated[str, typer.Argument(help="Its id")],
    config: Annotated[Path, typer.Option(help="The fleet's configuration; run on its host")],
    out: Annotated[Path, typer.Option(help="Directory for cert.pem, key.pem and ca.pem")],
    host: Annotated[
        list[str] | None, typer.Option(help="Name or address that it serves on; repeatable")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long it is good")] = 365,
    csr: Annotated[
        Path | None, typer.Option(help="Its certificate request [default: make a key here]")
    ] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role", help="Of an operator: viewer, provisioner, security_officer, dpo; repeatable"
        ),
    ] = None,
) -> None:
    """Issue a certificate to a gateway, a service or an operator.

    An operator gets the roles given here in place of those that it has; without any it keeps
    them, and a new one may do nothing until `wardgate operator roles`.
    """
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import setup  # noqa: PLC0415
    from fleet.operators import note_on_host  # noqa: PLC0415
    from fleet.roles import parse  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from security.names import Role  # noqa: PLC0415
    from security.pki import Subject  # noqa: PLC0415

    with one_line_errors():
        if role not in {Role.GATEWAY, Role.SERVICE, Role.OPERATOR}:
            raise ConfigError(f"{role}: issue to a gateway, service or operator; see `device add`")
        subject = Subject(Role(role), name, tuple(host or ()))
        granted = parse(roles or ())
        if granted and role != Role.OPERATOR:
            raise ConfigError(f"{role}: only operators have roles")
        loaded = fleet_config.load(config)
        request = csr.read_bytes() if csr else b""
        serial = setup.issue_for(loaded, subject, out, days, SystemClock(), request)
        if granted:  # after the certificate: an officer without one does not count as one
            note_on_host(loaded.database, name, granted, SystemClock())
    typer.echo(f"{role} {name}: {out}, serial number {serial}")


@app.command()
def run(config: Annotated[Path, typer.Option(help="Configuration file (TOML)")]) -> None:
    """Serve gateways and operators until stopped."""
    import logging  # noqa: PLC0415
    import os  # noqa: PLC0415

    # gRPC's own log has a line for every refused handshake, which anybody can cause.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import daemon  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with one_line_errors():
        daemon.run(fleet_config.load(config))


@app.command()
def check(config: Annotated[Path, typer.Option(help="Configuration file (TOML)")]) -> None:
    """Read a configuration, and say what is wrong with it; what it names need not be there."""
    from fleet import config as fleet_config  # noqa: PLC0415

    with one_line_errors():
        fleet_config.load(config)
    typer.echo(f"{config}: ok")


@app.command()
def status(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """Show gateways and the health of the fleet."""
    from fleet import client, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = service.call(
            "GetFleetStatus", pb.GetFleetStatusRequest(), pb.GetFleetStatusResponse
        )
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.status(found, now_us))


@app.command()
def configure(  # options
    gateway: Annotated[str, typer.Argument(help="The gateway's id")],
    document: Annotated[
        Path | None, typer.Argument(help="TOML: [pipeline] rules and drivers' device settings")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="The gateway's own file alone")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for its word")] = 10.0,
    fleet: Fleet = None,
    identity: Identity = None,
) -> None:
    """Want a configuration of a gateway, over its own file, and see what becomes of it.

    Exit code 1 when the gateway refuses it, or does not say anything in time.
    """
    from fleet import client, configure  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    with one_line_errors():
        if (document is None) is not clear:
            raise ConfigError("give a document, or --clear")
        content = b"" if document is None else document.read_bytes()
        with client.resolve(fleet, identity) as service:
            done = configure.want(service, gateway, content, wait)
    typer.echo(done.words)
    if not done.applied:
        raise typer.Exit(1)


@app.command()
def gateway(
    name: Annotated[str, typer.Argument(help="The gateway's id")],
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Show one gateway, and what is wanted of its configuration."""
    from fleet import client, configure, tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    with one_line_errors(), client.resolve(fleet, identity) as service:
        found = configure.status_of(service, name)
        wanted = configure.wanted_of(service, name)
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.gateway(found, wanted, now_us))


@app.command()
def revoke(  # options
    role: Annotated[str, typer.Argument(help="device, gateway, service or operator")],
    name: Annotated[str, typer.Argument(help="Its id")],
    reason: Annotated[str, typer.Option(help="For the audit log")] = "",
    serial: Annotated[str, typer.Option(help="Only this certificate")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Revoke all certificates of a holder, or one; live sessions end at once."""
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.RevokeRequest(role=role, id=name, serial=serial, reason=reason)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("Revoke", request, pb.RevokeResponse)
    leave_if_pending(done, as_json=as_json)
    if as_json:
        typer.echo(tables.as_json(done))
        return
    told = ", ".join(done.gateways) or "none is attached"
    if done.suspended:
        what = (
            f"{role} {name} has no certificate and is suspended on every transport"
            f" (back by: wardgate device update {name} --standing active)"
        )
    else:
        what = f"revoked {len(done.serials)} certificates of {role} {name}"
    typer.echo(f"{what}; gateways told: {told}")


@app.command()
def revocations(
    out: Annotated[Path, typer.Option(help="The file to write")],
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Write the signed list of revocations, to be carried to a gateway that is cut off.

    There: wardgate gateway apply-revocations FILE. The list is no secret, and can't be changed on
    its way.
    """
    import json  # noqa: PLC0415

    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415

    with one_line_errors():
        with client.resolve(fleet, identity) as service:
            found = service.call(
                "GetRevocations", pb.GetRevocationsRequest(), pb.GetRevocationsResponse
            )
        write_atomic(out, found.signed_list)
    if as_json:
        told = {"number": found.number, "issued_us": found.issued_us, "entries": found.entries}
        typer.echo(json.dumps({**told, "file": str(out)}))
        return
    issued = tables.day(found.issued_us)
    typer.echo(f"{out}: list {found.number} of {issued}, {found.entries} entries")
