"""One DTLS association without a socket: datagrams in, plaintexts and datagrams out.

A thin state machine around an OpenSSL connection on memory BIOs. Rules:

- Plaintext comes out only after the whole handshake, the peer's certificate included.
- What OpenSSL has to say is asked for with ``outgoing`` after every call: the BIO glues records,
  ``outgoing`` divides them into datagrams.
- While it is not established the caller runs the timer of ``timeout_s`` (RFC 6347, 4.2.4.1).
- A failed handshake has a reason of :class:`RefusalReason`, so that an audit tells a stranger
  from an expired certificate and both from a peer that speaks nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from drivers.transport.dtls.records import pack
from gateway.domain.errors import RefusalReason, WardgateError

DATAGRAM_BYTES_MAX: Final = 1232
"""What we send: IPv6's least MTU (1280, RFC 8200, 5) less the IP and UDP headers."""
_BIO_BYTES = 16 * 1024
_BIO_READS_MAX = 8
"""Of ``_BIO_BYTES`` each; a handshake flight is less than one."""
_PLAINTEXT_BYTES_MAX = 2**14
EARLY_RECORDS_MAX: Final = 32
"""Application data that overtook the peer's Finished, as OpenSSL kept it."""

TIMEOUT: Final = "timeout"
"""A handshake that got no answer: counted, but no refusal."""

_NOT_YET_VALID, _EXPIRED, _REVOKED = 9, 10, 23  # X509_V_ERR_*, openssl/x509_vfy.h
_VERIFY_REASONS: Final[Mapping[int, str]] = {
    _NOT_YET_VALID: RefusalReason.EXPIRED,
    _EXPIRED: RefusalReason.EXPIRED,
    _REVOKED: RefusalReason.REVOKED,
}


class HandshakeError(WardgateError):
    """The handshake failed; ``reason`` is one of RefusalReason, or ``"timeout"``."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class State(Enum):
    """Where an association stands."""

    HANDSHAKING = "handshaking"
    ESTABLISHED = "established"
    CLOSED = "closed"


class Event(Enum):
    """What moves it."""

    FINISHED = "finished"
    FAILED = "failed"
    PEER_CLOSED = "peer_closed"
    CLOSE = "close"


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.HANDSHAKING, Event.FINISHED): State.ESTABLISHED,
    (State.HANDSHAKING, Event.FAILED): State.CLOSED,
    (State.HANDSHAKING, Event.PEER_CLOSED): State.CLOSED,
    (State.HANDSHAKING, Event.CLOSE): State.CLOSED,
    (State.ESTABLISHED, Event.FAILED): State.CLOSED,
    (State.ESTABLISHED, Event.PEER_CLOSED): State.CLOSED,
    (State.ESTABLISHED, Event.CLOSE): State.CLOSED,
    (State.CLOSED, Event.CLOSE): State.CLOSED,
}
"""What is missing can't happen: a closed association reads nothing any more."""


class _Note:
    """The connection's app data: what OpenSSL's callbacks need, and leave behind.

    The verify callback of a context from ``security.tls`` calls ``verify_failed``.
    """

    __slots__ = ("note", "verify_error")

    def __init__(self, note: Any) -> None:
        self.note = note
        self.verify_error = 0

    def verify_failed(self, code: int) -> None:
        """The peer's certificate did not verify: an X509_V_ERR code."""
        self.verify_error = self.verify_error or code


def note_of(connection: SSL.Connection) -> Any:
    """What was given as ``note`` when the association was made; for OpenSSL's callbacks."""
    return connection.get_app_data().note


class Association:
    """One end of an association.

    Args:
        context: from ``security.tls``: it demands the peer's certificate, and reports to
            ``verify_failed`` of the connection's app data why one did not verify.
        server: which end this is.
        note: anything that the context's own callbacks need (see :func:`note_of`).
    """

    def __init__(self, context: SSL.Context, *, server: bool, note: Any = None) -> None:
        self._note = _Note(note)
        connection = self._connection = SSL.Connection(context, None)
        connection.set_app_data(self._note)
        connection.set_ciphertext_mtu(DATAGRAM_BYTES_MAX)
        if server:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        self.state = State.HANDSHAKING
        self.plaintext_bytes_max = 0
        """The longest plaintext that ``seal`` takes; known once established."""

    @property
    def established(self) -> bool:
        """Whether the handshake is complete and nobody closed it since."""
        return self.state is State.ESTABLISHED

    def listen(self, hello: bytes) -> None:
        """Server: begin with the ClientHello that carries a good cookie (RFC 6347, 4.2.1).

        Raises:
            HandshakeError: OpenSSL does not take it.
        """
        self._connection.bio_write(hello)
        try:
            self._connection.DTLSv1_listen()
        except SSL.Error as error:
            self._move(Event.FAILED)
            raise self._failure(error) from error
        self._shake_hands()

    def start(self) -> None:
        """Client: begin with a ClientHello.

        Raises:
            HandshakeError: the context can't be used.
        """
        self._shake_hands()

    def receive(self, datagram: bytes, records: int) -> list[bytes]:
        """Take one datagram of so many records; return the plaintexts in it.

        What does not verify is dropped without a word (RFC 6347, 4.1.2.7). After it
        ``state`` may be ESTABLISHED, or CLOSED because the peer closed.

        Raises:
            HandshakeError: the handshake failed; ``outgoing`` has the alert.
        """
        if self.state is State.CLOSED:
            return []
        self._connection.bio_write(datagram)
        if self.state is State.HANDSHAKING:
            if not self._shake_hands():
                return []
            records = EARLY_RECORDS_MAX
        return self._read(records)

    def seal(self, plaintext: bytes) -> bytes:
        """Encrypt one plaintext into one datagram.

        Raises:
            ValueError: it is empty or longer than ``plaintext_bytes_max``.
        """
        if not self.established or not 0 < len(plaintext) <= self.plaintext_bytes_max:
            raise ValueError(f"can't seal {len(plaintext)} bytes while {self.state.value}")
        self._connection.send(plaintext)
        return self._connection.bio_read(_BIO_BYTES)

    def close(self) -> None:
        """Say close_notify, if there is anybody to say it to; idempotent."""
        if self.established:
            # If it can't be said any more, the peer finds out by its own timers.
            with suppress(SSL.Error):
                self._connection.shutdown()
        self._move(Event.CLOSE)

    def outgoing(self) -> list[bytes]:
        """The datagrams to send now, in order."""
        stream = b""
        for _ in range(_BIO_READS_MAX):
            try:
                stream += self._connection.bio_read(_BIO_BYTES)
            except SSL.WantReadError:
                break
        return pack(stream, DATAGRAM_BYTES_MAX)

    def timeout_s(self) -> float | None:
        """Seconds until ``on_timeout`` is due; None when no timer is wanted."""
        if self.state is not State.HANDSHAKING:
            return None
        return self._connection.DTLSv1_get_timeout()

    def on_timeout(self) -> None:
        """Repeat the last flight if it is due.

        Raises:
            HandshakeError: it was repeated often enough.
        """
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._move(Event.FAILED)
            raise HandshakeError(TIMEOUT) from error

    def peer_certificate(self) -> bytes:
        """The peer's verified certificate, DER.

        Raises:
            HandshakeError: there is none; a context that demands one rules that out.
        """
        certificate = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or not self.established:
            raise HandshakeError(RefusalReason.NO_CERTIFICATE)
        return certificate.public_bytes(Encoding.DER)

    def describe(self) -> str:
        """Version and cipher suite, for a log line."""
        connection = self._connection
        return f"{connection.get_protocol_version_name()} {connection.get_cipher_name()}"

    def _shake_hands(self) -> bool:
        """Whether the handshake is now complete."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self._move(Event.FAILED)
            raise self._failure(error) from error
        self.plaintext_bytes_max = self._connection.get_cleartext_mtu()
        self._move(Event.FINISHED)
        return True

    def _read(self, records: int) -> list[bytes]:
        receive = self._connection.recv
        plaintexts: list[bytes] = []
        for _ in range(records):
            try:
                plaintexts.append(receive(_PLAINTEXT_BYTES_MAX))
            except SSL.WantReadError:
                break
            except SSL.ZeroReturnError:
                self.close()  # answer a close_notify with our own (RFC 5246, 7.2.1)
                break
            except SSL.Error:
                self._move(Event.FAILED)
                break
        return plaintexts

    def _failure(self, error: SSL.Error) -> HandshakeError:
        words = [entry[-1] for entry in _entries(error)]
        if self._note.verify_error:
            code = self._note.verify_error
            reason = _VERIFY_REASONS.get(code, RefusalReason.UNTRUSTED)
            return HandshakeError(reason, f"verify error {code}")
        if "peer did not return a certificate" in words:
            return HandshakeError(RefusalReason.NO_CERTIFICATE)
        return HandshakeError(RefusalReason.HANDSHAKE, ", ".join(words) or type(error).__name__)

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[(self.state, event)]


def _entries(error: SSL.Error) -> Iterable[tuple[str, ...]]:
    entries = error.args[0] if error.args else ()
    return entries if isinstance(entries, list) else ()
