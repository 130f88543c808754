"""``operator add | list | show | roles | revoke``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.options import AsJson, Fleet, Identity, leave_if_pending, one_line_errors

if TYPE_CHECKING:
    from protos.wardgate.v1 import fleet_pb2 as pb

app = typer.Typer(
    help="Operators: add, list, show, roles, revoke.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="The operator's name")]


@app.callback()
def main() -> None:
    """Operators: add, list, show, roles, revoke."""


@app.command()
def add(  # noqa: PLR0913, PLR0917  # the options of a command
    name: Name,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", help="viewer, provisioner, security_officer, dpo; repeatable"),
    ] = None,
    csr: Annotated[Path | None, typer.Option(help="A certificate request (PEM or DER)")] = None,
    bundle: Annotated[
        Path | None, typer.Option(help="Make a key here, and put key and certificate there")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --csr: where the certificate goes [default: shown]")
    ] = None,
    days: Annotated[int, typer.Option(min=0, help="How long it is good [default: a year]")] = 0,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Add an operator, and issue its certificate.

    With neither --csr nor --bundle the operator is registered, for a certificate that
    `wardgate ca issue operator` has made or will make.
    """
    from fleet import client, tables  # noqa: PLC0415  # late: `--help` must stay fast
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415
    from security import files, pki  # noqa: PLC0415

    request = pb.AddOperatorRequest(name=name, roles=roles or (), days=days)
    with one_line_errors():
        if csr and bundle:
            raise ConfigError("give --csr or --bundle, not both")
        if bundle and (bundle / "key.pem").exists():
            raise ConfigError(f"{bundle} holds an identity already")
        key = pki.new_key() if bundle else None
        if csr:
            request.csr = csr.read_bytes()
        elif key:
            request.csr = pki.create_csr(key, name)
        with client.resolve(fleet, identity) as service:
            added = service.call("AddOperator", request, pb.AddOperatorResponse)
        if bundle and key:
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
        place = f": {bundle or out}" if bundle or out else ""
        typer.echo(f"{_line(added.operator)}{place}")


@app.command("list")
def list_(fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False) -> None:
    """List operators with their roles."""
    from fleet import tables  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    with one_line_errors():
        found = _all(fleet, identity)
    now_us = SystemClock().now_us()
    typer.echo(tables.as_json(found) if as_json else tables.operators(found.operators, now_us))


@app.command()
def show(
    name: Name, fleet: Fleet = None, identity: Identity = None, as_json: AsJson = False
) -> None:
    """Show one operator with its certificates."""
    from fleet import tables  # noqa: PLC0415
    from gateway.domain.errors import ConfigError  # noqa: PLC0415

    with one_line_errors():
        for each in _all(fleet, identity).operators:
            if each.name == name:
                typer.echo(tables.as_json(each) if as_json else tables.operator(each))
                return
        raise ConfigError(f"no operator {name}")


@app.command()
def roles(
    name: Name,
    wanted: Annotated[
        list[str] | None,
        typer.Argument(help="viewer, provisioner, security_officer, dpo; none: nothing at all"),
    ] = None,
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Give an operator these roles in place of those it has, from the next call on."""
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.SetOperatorRolesRequest(name=name, roles=wanted or ())
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("SetOperatorRoles", request, pb.SetOperatorRolesResponse)
    leave_if_pending(done, as_json=as_json)
    typer.echo(tables.as_json(done) if as_json else _line(done.operator))


@app.command()
def revoke(
    name: Name,
    reason: Annotated[str, typer.Option(help="For the audit log")] = "",
    fleet: Fleet = None,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Revoke an operator's certificates, and forget its roles."""
    from fleet import client, tables  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    request = pb.RemoveOperatorRequest(name=name, reason=reason)
    with one_line_errors(), client.resolve(fleet, identity) as service:
        done = service.call("RemoveOperator", request, pb.RemoveOperatorResponse)
    leave_if_pending(done, as_json=as_json)
    if as_json:
        typer.echo(tables.as_json(done))
    else:
        typer.echo(f"operator {name} is gone; certificates revoked: {len(done.serials)}")


def _all(fleet: str | None, identity: Path | None) -> pb.ListOperatorsResponse:
    from fleet import client  # noqa: PLC0415
    from protos.wardgate.v1 import fleet_pb2 as pb  # noqa: PLC0415

    with client.resolve(fleet, identity) as service:
        return service.call("ListOperators", pb.ListOperatorsRequest(), pb.ListOperatorsResponse)


def _line(operator: pb.Operator) -> str:
    return f"operator {operator.name} may: {', '.join(operator.roles) or 'nothing'}"
