"""The command line's end of :mod:`gateway.local.server`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from gateway.domain.errors import WardgateError
from gateway.errands import who
from gateway.local.place import short
from gateway.local.server import MESSAGE_BYTES_MAX, PERSON_KEY
from security.files import TlsFiles
from security.tls import grpc_channel_credentials

TIMEOUT_S = 10.0

Response = TypeVar("Response", bound=Message)


class LocalError(WardgateError):
    """The gateway refused, or can't be reached; the message is for the person who asked."""

    reason = "local"


class LocalClient:
    """A channel to one gateway; a context manager."""

    def __init__(self, channel: Any, place: str, stack: ExitStack) -> None:
        self._channel = channel
        self._place = place
        self._stack = stack
        stack.callback(channel.close)

    @classmethod
    def at_socket(cls, socket: Path) -> LocalClient:
        """The gateway of this box.

        Raises:
            LocalError: none runs here.
        """
        stack = ExitStack()
        try:
            if not socket.is_socket():
                raise LocalError(f"{socket}: no gateway runs here; is it started, are you root?")
            path = stack.enter_context(short(socket))
        except OSError as error:
            raise LocalError(f"{socket}: {error.strerror}; ask as root") from error
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        return cls(grpc.insecure_channel(f"unix:{path}", options), str(socket), stack)

    @classmethod
    def at(cls, address: str, identity: Path) -> LocalClient:
        """A gateway elsewhere, as an operator.

        Args:
            address: ``host:port``, as in its ``local.listen``.
            identity: a directory with ``cert.pem``, ``key.pem`` and ``ca.pem``.

        Raises:
            ConfigError: the identity can't be used.
        """
        credentials = grpc_channel_credentials(TlsFiles.within(identity))
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
        return cls(grpc.secure_channel(address, credentials, options), address, ExitStack())

    def call(
        self, service: str, method: str, request: Message, response: type[Response]
    ) -> Response:
        """One call.

        Args:
            service: without the package, as ``StatusService``.
            method: its name.
            request: what is asked.
            response: the answer's type.

        Raises:
            LocalError: it failed; says what to do.
        """
        stub = self._channel.unary_unary(
            _path(service, method),
            request_serializer=_serialise,
            response_deserializer=response.FromString,
        )
        try:
            answer: Response = stub(request, timeout=TIMEOUT_S, metadata=_person())
        except grpc.RpcError as error:
            raise LocalError(self._explain(error)) from error
        return answer

    def stream(
        self, service: str, method: str, request: Message, response: type[Response]
    ) -> Generator[Response, None, None]:
        """One question, and answers until the generator is closed.

        Raises:
            LocalError: it failed, or the gateway ended it.
        """
        stub = self._channel.unary_stream(
            _path(service, method),
            request_serializer=_serialise,
            response_deserializer=response.FromString,
        )
        answers = stub(request, metadata=_person())
        try:
            yield from answers
        except grpc.RpcError as error:
            raise LocalError(self._explain(error)) from error
        finally:
            answers.cancel()

    def close(self) -> None:
        """Close the channel; idempotent."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _explain(self, error: Any) -> str:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE and not details.startswith("the journal"):
            return f"can't reach the gateway at {self._place}; does it run, is the certificate its?"
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer from {self._place} within {TIMEOUT_S:g} s"
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return f"the gateway at {self._place} has nothing configured for this, or is too old"
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return f"the gateway at {self._place} answers too many already; try again"
        return str(details or code.name.lower())


def _path(service: str, method: str) -> str:
    return f"/wardgate.v1.{service}/{method}"


def _person() -> tuple[tuple[str, str], ...]:
    """Who sits here; over TLS the certificate counts instead."""
    return ((PERSON_KEY, who().encode("ascii", "replace").decode()),)


def _serialise(message: Message) -> bytes:
    return message.SerializeToString()
