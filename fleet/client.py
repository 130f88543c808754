"""An operator's connection to the fleet service, for the command line."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
import msgspec
from google.protobuf.message import Message

from gateway import tomlfile
from gateway.domain.errors import ConfigError, WardgateError
from protos.wardgate.v1 import fleet_pb2 as pb
from security.tls import TlsFiles, grpc_channel_credentials

SERVICE = "wardgate.v1.FleetService"
TIMEOUT_S = 10.0
MESSAGE_BYTES_MAX = 32 << 20
FLEET_VARIABLE = "WARDGATE_FLEET"
IDENTITY_VARIABLE = "WARDGATE_IDENTITY"
CONFIG_VARIABLE = "WARDGATE_OPERATOR_CONFIG"
CONFIG_FILE = Path("~/.config/wardgate/operator.toml")

Response = TypeVar("Response", bound=Message)


class FleetError(WardgateError):
    """The service refused, or can't be reached; the message is for the operator."""

    reason = "fleet"

    def __init__(self, message: str, *, unreachable: bool = False) -> None:
        super().__init__(message)
        self.unreachable = unreachable
        """Trying again later may help."""


class OperatorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``operator.toml``: where the fleet is, and who the operator is."""

    fleet: str = ""
    """``host:port``."""
    identity: Path | None = None
    """A directory with ``cert.pem``, ``key.pem`` and ``ca.pem``."""


class FleetClient:
    """A channel with the operator's certificate; a context manager."""

    def __init__(self, address: str, identity: Path) -> None:
        """Raises ConfigError when the identity can't be used."""
        self._address = address
        credentials = grpc_channel_credentials(TlsFiles.within(identity))
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        self._channel = grpc.secure_channel(address, credentials, options)

    def call(self, method: str, request: Message, response: type[Response]) -> Response:
        """One call.

        Raises:
            FleetError: it failed; says what to do.
        """
        stub = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=_serialise,
            response_deserializer=response.FromString,
        )
        try:
            answer: Response = stub(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            away = error.code() in {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.UNAUTHENTICATED,
            }
            raise FleetError(self._explain(error), unreachable=away) from error
        return answer

    def devices(self, ward: str = "", health: int = 0) -> list[pb.Device]:
        """Every device, page by page."""
        found: list[pb.Device] = []
        request = pb.ListDevicesRequest(ward=ward, health=pb.Health.Name(health))
        while True:
            page = self.call("ListDevices", request, pb.ListDevicesResponse)
            found.extend(page.devices)
            if not page.next_page_after:
                return found
            request.page_after = page.next_page_after

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _explain(self, error: grpc.RpcError) -> str:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return (
                f"can't reach the fleet service at {self._address}, or it refuses the operator's"
                " certificate; is it running, and is the certificate of its trust domain?"
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer from {self._address} within {TIMEOUT_S:g} s"
        if code is grpc.StatusCode.UNAUTHENTICATED:
            return f"the operator's certificate is refused: {details}"
        return details or str(code.name.lower())


def resolve(fleet: str | None, identity: Path | None) -> FleetClient:
    """A client from options, else environment, else the operator's configuration file.

    Raises:
        ConfigError: nothing says where the fleet is or who the operator is.
    """
    path = Path(os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE.expanduser())
    config = tomlfile.load(path, OperatorConfig) if path.exists() else OperatorConfig()
    address = fleet or os.environ.get(FLEET_VARIABLE) or config.fleet
    if not address:
        raise ConfigError(f"where is the fleet service? Give --fleet HOST:PORT or {FLEET_VARIABLE}")
    named = os.environ.get(IDENTITY_VARIABLE)
    directory = identity or (Path(named) if named else config.identity)
    if directory is None:
        raise ConfigError(
            f"who is asking? Give --identity DIR or {IDENTITY_VARIABLE}: a directory with the"
            " operator's cert.pem, key.pem and ca.pem"
        )
    return FleetClient(address, directory)


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
