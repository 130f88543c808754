"""An admitted device's session, as the protocol above sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from drivers.transport.dtls.association import Association
from drivers.transport.dtls.cookies import Address
from gateway.domain.devices import Device
from gateway.domain.ports import Carrier, Tap, Tapped


class SessionOwner(Protocol):
    """The protocol above: it hears of admitted sessions only."""

    def opened(self, session: DtlsSession) -> None:
        """A device completed its handshake and was admitted."""

    def received(self, session: DtlsSession, plaintext: bytes) -> None:
        """One plaintext came; must not raise."""

    def closed(self, session: DtlsSession, reason: str) -> None:
        """The session has ended; nothing can be sent any more."""


class DtlsSession:
    """A LiveSession of the identity service; hashed by identity, one per handshake.

    Args:
        transmit: puts a datagram on the wire.
        drop: ends the session with a reason.
    """

    __slots__ = (
        "_drop",
        "_transmit",
        "active_s",
        "address",
        "alive",
        "association",
        "client_random",
        "device",
        "owned",
        "tap",
    )

    def __init__(
        self,
        association: Association,
        address: Address,
        client_random: bytes,
        transmit: Callable[[bytes, Address], None],
        drop: Callable[[DtlsSession, str], None],
    ) -> None:
        self._transmit = transmit
        self._drop = drop
        self.association = association
        self.address = address
        self.client_random = client_random
        self.active_s = 0.0
        """When the peer last said something that verified; monotonic."""
        self.alive = True
        self.device = Device("")
        """Who the certificate says it is."""
        self.tap: Tap | None = None
        """Told of plaintexts while they are recorded."""
        self.owned: Any = None
        """The owner's own companion of this session."""

    @property
    def peer(self) -> str:
        """Address and port, for the audit log."""
        return peer_name(self.address)

    @property
    def plaintext_bytes_max(self) -> int:
        """The longest plaintext that ``send`` takes."""
        return self.association.plaintext_bytes_max

    def send(self, plaintext: bytes) -> None:
        """Send one plaintext; nothing happens when the session has ended.

        Raises:
            ValueError: it is longer than ``plaintext_bytes_max``.
        """
        # The peer may have closed in the datagram that carries what is answered here.
        if self.alive and self.association.established:
            if self.tap is not None:
                self.tap.sent(plaintext)
            self._transmit(self.association.seal(plaintext), self.address)

    def kill(self, reason: str) -> None:
        """Drop the session now; idempotent."""
        self._drop(self, reason)

    def use_tap(self, tap: Tap | None) -> Tapped:
        """See :class:`gateway.domain.ports.Tappable`."""
        self.tap = tap
        return Tapped(Carrier.DATAGRAMS, asked=False)

    def close(self) -> None:
        """For the server: say close_notify."""
        self.association.close()
        self.flush()

    def flush(self) -> None:
        """For the server: send what the association has to say by itself."""
        for datagram in self.association.outgoing():
            self._transmit(datagram, self.address)


def peer_name(address: Address) -> str:
    """Address and port as people write them."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
