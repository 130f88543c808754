"""gRPC calls with somebody's certificate."""

from __future__ import annotations

from typing import Any

import grpc

from attack.outcome import Seen, Word
from attack.target import Address, KeyPair, Target
from protos.wardgate.v1 import fleet_pb2

CALL_S = 20.0
FLEET = fleet_pb2.DESCRIPTOR.services_by_name["FleetService"]
REFUSALS = {
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.UNIMPLEMENTED,
}


class Grpc:
    """Calls with somebody's certificate."""

    def __init__(self, target: Target, address: Address, pair: KeyPair) -> None:
        """Open a channel lazily."""
        credentials = grpc.ssl_channel_credentials(
            target.ca.read_bytes(), pair.key.read_bytes(), pair.cert.read_bytes()
        )
        options = [("grpc.ssl_target_name_override", "localhost")]
        self.channel = grpc.secure_channel(f"{address.host}:{address.port}", credentials, options)

    def unary(self, method: str, message: bytes) -> Seen:
        """One call, raw bytes both ways."""
        call: Any = self.channel.unary_unary(f"/{FLEET.full_name}/{method}")
        try:
            call(message, timeout=CALL_S)
        except grpc.RpcError as error:
            return _of_rpc(error)
        return Seen(Word.ACCEPTED)

    def stream(self, method: str, *messages: bytes) -> Seen:
        """Send messages; the first answer decides."""
        made: Any = self.channel.stream_stream(method)
        call = made(iter(messages), timeout=CALL_S)
        try:
            answer = next(call)
        except StopIteration:
            return Seen(Word.CLOSED)
        except grpc.RpcError as error:
            return _of_rpc(error)
        finally:
            call.cancel()
        return Seen(Word.ACCEPTED, answer[:16].hex())


def _of_rpc(error: Any) -> Seen:
    code = error.code()
    word = Word.REFUSED if code in REFUSALS else Word.NOT_TRIED
    return Seen(word, f"{code.name.lower()}: {error.details()}"[:80])
