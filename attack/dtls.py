"""A DTLS 1.2 client over UDP that can stop at any point of its handshake."""

from __future__ import annotations

import contextlib
import socket
import time
from types import TracebackType
from typing import Self

from OpenSSL import SSL

from attack.channel import PATIENCE_S
from attack.outcome import Seen, Word, of_error
from attack.target import Address, KeyPair
from drivers.transport.dtls.records import pack

DTLS_1_0, DTLS_1_2 = 0xFEFF, 0xFEFD
DATAGRAM_BYTES_MAX = 1232
READ_BYTES = 65_536
WAIT_S = 0.5
"""At a time; then the handshake's own timer is asked."""


def context(identity: KeyPair | None, version: int = DTLS_1_2) -> SSL.Context:
    """A client's context that looks at nobody's certificate."""
    made = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    made.set_min_proto_version(version)
    made.set_max_proto_version(version)
    made.set_options(SSL.OP_NO_QUERY_MTU)
    made.set_verify(SSL.VERIFY_NONE, lambda *_: True)
    if version < DTLS_1_2 or version == DTLS_1_0:
        made.set_cipher_list(b"ALL:@SECLEVEL=0")
    if identity is not None:
        made.use_certificate_chain_file(str(identity.cert))
        made.use_privatekey_file(str(identity.key))
    return made


class Connection:
    """One association; a context manager that closes its socket."""

    def __init__(
        self,
        address: Address,
        tls: SSL.Context,
        session: SSL.Session | None = None,
        source: str = "",
    ) -> None:
        """Open a socket, with the address ``source`` if it matters; sends nothing."""
        self._sock = socket.socket(
            socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_DGRAM
        )
        if source:
            self._sock.bind((source, 0))
        self._sock.connect((address.host, address.port))
        self._sock.settimeout(WAIT_S)
        self.tls = SSL.Connection(tls, None)
        self.tls.set_ciphertext_mtu(DATAGRAM_BYTES_MAX)
        self.tls.set_connect_state()
        if session is not None:
            self.tls.set_session(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sock.close()

    def handshake(self, patience_s: float = PATIENCE_S) -> None:
        """Complete it.

        Raises:
            SSL.Error, OSError: it failed; TimeoutError when nobody answers.
        """
        end = time.monotonic() + patience_s
        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                self.flush()
                self._take(end)
            else:
                self.flush()
                return

    def ask(self, words: bytes, patience_s: float = PATIENCE_S) -> bytes:
        """Send one plaintext and wait for one.

        Raises:
            SSL.Error, OSError: as :meth:`handshake`; ConnectionResetError after a close.
        """
        end = time.monotonic() + patience_s
        self.tls.send(words)
        self.flush()
        return self.answer(end)

    def answer(self, end: float) -> bytes:
        """The next plaintext.

        Raises:
            SSL.Error, OSError: as :meth:`ask`.
        """
        while True:
            try:
                return self.tls.recv(READ_BYTES)
            except SSL.ZeroReturnError as error:
                raise ConnectionResetError from error
            except SSL.WantReadError:
                self._take(end)

    def flush(self) -> None:
        """Send what the library wrote."""
        written = b""
        with contextlib.suppress(SSL.WantReadError):
            while True:  # a flight may be longer than one read
                written += self.tls.bio_read(READ_BYTES)
        for datagram in pack(written, DATAGRAM_BYTES_MAX):
            self._sock.send(datagram)

    def send(self, datagram: bytes) -> None:
        """Send bytes as they are."""
        self._sock.send(datagram)

    def receive(self) -> bytes:
        """One datagram.

        Raises:
            TimeoutError: none came.
        """
        return self._sock.recv(READ_BYTES)

    def _take(self, end: float) -> None:
        while True:
            if time.monotonic() > end:
                raise TimeoutError
            try:
                self.tls.bio_write(self._sock.recv(READ_BYTES))
            except TimeoutError:
                if self.tls.DTLSv1_handle_timeout():
                    self.flush()
            else:
                return


def knock(
    address: Address, tls: SSL.Context, question: bytes, patience_s: float = PATIENCE_S
) -> Seen:
    """Shake hands and ask: any answer means admitted."""
    try:
        with Connection(address, tls) as connection:
            connection.handshake(patience_s)
            answer = connection.ask(question, patience_s)
    except ConnectionRefusedError:
        raise
    except (OSError, SSL.Error) as error:
        return of_error(error)
    return Seen(Word.ADMITTED, answer[:16].hex())


def raw(address: Address, datagram: bytes) -> Seen:
    """Send one datagram as it is; any answer but an alert or a cookie means admitted."""
    with Connection(address, context(None)) as connection:
        connection.send(datagram)
        try:
            answer = connection.receive()
        except TimeoutError:
            return Seen(Word.SILENT)
    if answer[:1] == b"\x15":
        return Seen(Word.HANDSHAKE, "alert")
    return Seen(Word.ADMITTED, answer[:16].hex())
