"""``wardgate infusion``: every infusion of a gateway, in a table."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.local.options import (
    DEFAULT_CONFIG,
    AtOption,
    ConfigOption,
    IdentityOption,
    JsonOption,
    connect,
)

app = typer.Typer(
    help="Infusions: drips and pumps, what is left and for how long.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
SERVICE = "InfusionService"
CLEAR = "\x1b[H\x1b[2J"


@app.command("list")
def list_(
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
    ward: Annotated[str, typer.Option("--ward", help="This ward's alone")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Go on, until Ctrl-C")] = False,
) -> None:
    """Every infusion: bed, drug, rate, what is left, minutes left, state, order, alarms."""
    from protos.wardgate.v1 import infusion_pb2 as pb  # noqa: PLC0415  # --help needs none of it

    with connect(config, at, identity) as client:
        if not watch:
            found = client.call(
                SERVICE,
                "ListInfusions",
                pb.ListInfusionsRequest(ward=ward),
                pb.ListInfusionsResponse,
            )
            _show(found, as_json=as_json, again=False)
            return
        request = pb.WatchInfusionsRequest(ward=ward)
        try:
            for each in client.stream(
                SERVICE, "WatchInfusions", request, pb.WatchInfusionsResponse
            ):
                _show(each, as_json=as_json, again=True)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None


@app.command("show")
def show(
    device: Annotated[str, typer.Argument(help="A pump or drip monitor")],
    config: ConfigOption = DEFAULT_CONFIG,
    at: AtOption = "",
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything that is known of one infusion, and its order."""
    from gateway.infusion import table  # noqa: PLC0415
    from protos.wardgate.v1 import infusion_pb2 as pb  # noqa: PLC0415

    with connect(config, at, identity) as client:
        found = client.call(
            SERVICE, "GetInfusion", pb.GetInfusionRequest(device_id=device), pb.GetInfusionResponse
        )
    if as_json:
        typer.echo(_json(found))
        return
    for line in table.details(found):
        typer.echo(line)


def _show(found: object, *, as_json: bool, again: bool) -> None:
    import sys  # noqa: PLC0415

    from gateway.infusion import table  # noqa: PLC0415
    from protos.wardgate.v1 import infusion_pb2 as pb  # noqa: PLC0415

    assert isinstance(found, pb.ListInfusionsResponse | pb.WatchInfusionsResponse)
    if as_json:
        typer.echo(_json(found, lines=not again))
        return
    if again and sys.stdout.isatty():
        typer.echo(CLEAR, nl=False)
    for line in table.table(found.infusions, found.now_us):
        typer.echo(line)


def _json(message: object, *, lines: bool = True) -> str:
    """A message as JSON; over several lines for people, in one for streams."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415

    return MessageToJson(
        message,  # type: ignore[arg-type]
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=2 if lines else None,
        ensure_ascii=False,
    )
