"""What aiocoap needs to speak over our DTLS sessions: addresses, and a message interface.

aiocoap has no public way to add a transport. ``attach`` uses the one private call that its own
transports use; the library is pinned, and a test fails when the call or its meaning changes.

Deduplication is ours (see :mod:`drivers.coap.exchanges`), since the library remembers every
request for 247 seconds; it is told to forget each at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import aiocoap
from aiocoap import error, interfaces
from aiocoap.numbers.constants import MAX_REGULAR_BLOCK_SIZE_EXP, TransportTuning

from drivers.coap.exchanges import ACKNOWLEDGEMENT, CONFIRMABLE, RESET, Exchanges, read_header


class _Incoming(TransportTuning):  # type: ignore[misc]  # the library has no types
    """For requests: forget them at once, and acknowledge emptily only if a commit is slow."""

    EXCHANGE_LIFETIME = 0.0
    EMPTY_ACK_DELAY = 1.0
    """Half of a sender's least ACK_TIMEOUT (RFC 7252, 4.8)."""


_INCOMING: Final = _Incoming()


class Channel(Protocol):
    """One end of a DTLS association, as a message interface sees it."""

    def send(self, plaintext: bytes) -> None:
        """Send one message."""


class Remote(interfaces.EndpointAddress):  # type: ignore[misc]  # the library has no types
    """The other end of one association.

    Equal to nothing but itself: after a new handshake the same address is another remote, as
    RFC 7252, 9.1.2 asks.
    """

    scheme = "coaps"
    is_multicast = False
    is_multicast_locally = False
    maximum_block_size_exp = MAX_REGULAR_BLOCK_SIZE_EXP

    def __init__(self, channel: Channel, peer: str, local: str, claims: tuple[str, ...]) -> None:
        self.channel = channel
        self.exchanges = Exchanges()
        self.pending = 0
        """Notifications that the peer has not answered, those that wait for their turn too."""
        self._on_wire: set[int] = set()
        self.ended = False
        self._peer = peer
        self._local = local
        self._claims = claims

    def notification_sent(self, message_id: int) -> None:
        """A notification went onto the wire, for the first or another time."""
        self._on_wire.add(message_id)

    def notification_answered(self, message_id: int) -> None:
        """The peer acknowledged or rejected a message of ours."""
        if message_id in self._on_wire:
            self._on_wire.remove(message_id)
            # A notification of an earlier observation may still be repeated and answered.
            self.pending = max(0, self.pending - 1)

    def forget_notifications(self) -> None:
        """Nobody waits for them any more."""
        self._on_wire.clear()
        self.pending = 0

    @property
    def hostinfo(self) -> str:
        """The peer's address."""
        return self._peer

    @property
    def hostinfo_local(self) -> str:
        """Our address."""
        return self._local

    @property
    def uri_base(self) -> str:
        """The peer's address as a URI."""
        return f"coaps://{self._peer}"

    @property
    def uri_base_local(self) -> str:
        """Our address as a URI."""
        return f"coaps://{self._local}"

    @property
    def authenticated_claims(self) -> tuple[str, ...]:
        """Who the peer's certificate says it is."""
        return self._claims

    @property
    def blockwise_key(self) -> tuple[int, tuple[str, ...]]:
        """Blocks of one association belong together, and no others."""
        return (id(self), self._claims)


class MessageInterface(interfaces.MessageInterface):  # type: ignore[misc]  # no types
    """Carries messages between aiocoap's message manager and remotes.

    Args:
        monotonic: seconds of a clock that never jumps.
        stop: closes what is below, at the library's shutdown.
    """

    def __init__(self, monotonic: Callable[[], float], stop: Callable[[], None]) -> None:
        self._monotonic = monotonic
        self._stop = stop
        self._manager: Any = None

    def attached(self, manager: Any) -> None:
        """For ``attach``: whom to dispatch to."""
        self._manager = manager

    def received(self, remote: Remote, message: bytes) -> bool:
        """Take one message from a remote; False if it could not be understood."""
        header = read_header(message)
        if header is None or self._manager is None:
            return header is not None
        if header.is_request:
            reply = remote.exchanges.seen(header.message_id, self._monotonic())
            if reply is not None:
                if reply:
                    remote.channel.send(reply)
                return True
        elif header.message_type in (ACKNOWLEDGEMENT, RESET):
            remote.notification_answered(header.message_id)
        try:
            parsed = aiocoap.Message.decode(message, remote=remote)
        except (error.UnparsableMessage, ValueError):  # bad UTF-8 is a ValueError
            return False
        parsed.transport_tuning = _INCOMING
        self._manager.dispatch_message(parsed)
        return True

    def ended(self, remote: Remote) -> None:
        """The association is over: so is everything that was under way with it."""
        remote.ended = True
        if self._manager is not None:
            self._manager.dispatch_error(error.NetworkError("the session ended"), remote)

    # -- for aiocoap

    def send(self, message: aiocoap.Message) -> None:
        """Put a message on its way, and remember it where it answers a request."""
        remote: Remote = message.remote
        if remote.ended:
            return
        encoded = message.encode()
        if message.mtype == CONFIRMABLE and message.opt.observe is not None:
            remote.notification_sent(message.mid)
        elif message.mtype in (ACKNOWLEDGEMENT, RESET):
            remote.exchanges.replied(message.mid, encoded)
        remote.channel.send(encoded)

    async def recognize_remote(self, remote: object) -> bool:
        """Whether a remote is one of ours and still there."""
        return isinstance(remote, Remote) and not remote.ended

    async def determine_remote(self, message: object) -> None:
        """Addresses in messages lead nowhere: remotes come from handshakes."""

    async def shutdown(self) -> None:
        """The library shuts down."""
        self._manager = None
        self._stop()


async def attach(context: aiocoap.Context, interface: MessageInterface) -> None:
    """Make a context use an interface of ours."""

    def construct(manager: Any) -> Awaitable[MessageInterface]:
        return _constructed(interface, manager)

    await context._append_tokenmanaged_messagemanaged_transport(construct)  # noqa: SLF001 - see the module's rules


async def _constructed(interface: MessageInterface, manager: Any) -> MessageInterface:
    interface.attached(manager)
    return interface
