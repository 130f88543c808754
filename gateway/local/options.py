"""The options of every command that asks a running gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from gateway.local.client import LocalClient

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", help="gateway.toml of the gateway here", envvar="WARDGATE_GATEWAY_CONFIG"
    ),
]
AtOption = Annotated[
    str,
    typer.Option("--at", help="host:port of a gateway elsewhere", envvar="WARDGATE_GATEWAY_AT"),
]
IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        help="With --at: the operator's cert.pem, key.pem and ca.pem",
        envvar="WARDGATE_IDENTITY",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines")]
DEFAULT_CONFIG = Path("/etc/wardgate/gateway.toml")


def say_json(message: Message, *, whole: bool = True) -> None:
    """Print an answer for machines, by the contract's own names; ``whole``: also what is empty."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415

    text: str = MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=whole
    )
    typer.echo(text)


def connect(config: Path, at: str, identity: Path | None) -> LocalClient:
    """The gateway that the options name: elsewhere, or the one of this configuration.

    Raises:
        WardgateError: it can't be asked; says what to do.
    """
    from gateway.config import load  # noqa: PLC0415  # --help needs none of it
    from gateway.domain.errors import ConfigError  # noqa: PLC0415
    from gateway.local.client import LocalClient  # noqa: PLC0415

    if at:
        if identity is None:
            raise ConfigError("--at takes --identity, too: a directory with the certificate")
        return LocalClient.at(at, identity)
    told = load(config)
    return LocalClient.at_socket(told.local.socket_in(told.gateway.state_dir))
