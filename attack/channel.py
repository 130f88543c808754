"""TLS and plain TCP connections that do what an honest client never would."""

from __future__ import annotations

import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import closing

from attack.outcome import Seen, Word, of_error
from attack.target import Address, KeyPair

PATIENCE_S = 20.0
"""For one answer. The other side may be busy, and no answer proves nothing where one is due."""
READ_BYTES = 16_384


class UnreachableError(ConnectionRefusedError):
    """There is no TCP connection to be had."""


def context(
    identity: KeyPair | None,
    version: ssl.TLSVersion | None = None,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """An attacker's context: it looks at nobody's certificate.

    Args:
        identity: whose certificate is shown; None shows none.
        version: the only one that is spoken; None leaves it open.
        alpn: protocols that are offered.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
            made.minimum_version = made.maximum_version = version
        if version < ssl.TLSVersion.TLSv1_2:
            made.set_ciphers("ALL:@SECLEVEL=0")
    if identity is not None:
        made.load_cert_chain(identity.cert, identity.key)
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


def tcp(address: Address, patience_s: float = PATIENCE_S, source: str = "") -> socket.socket:
    """A TCP connection, ``source`` being our own address if it matters.

    Raises:
        UnreachableError: there is none.
    """
    try:
        at = (source, 0) if source else None
        return socket.create_connection((address.host, address.port), patience_s, at)
    except OSError as error:
        raise UnreachableError(0, f"{address.host}:{address.port}: {error}") from error


def dial(
    address: Address,
    tls: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    source: str = "",
) -> ssl.SSLSocket:
    """A TLS connection, as far as the client's side of the handshake goes.

    Raises:
        UnreachableError: there is no TCP connection.
        OSError: what the handshake met; ``ssl.SSLError`` is one.
    """
    raw = tcp(address, source=source)
    try:
        return tls.wrap_socket(raw, session=session)
    except BaseException:
        raw.close()
        raise


def first_answer(sock: socket.socket, question: bytes) -> Seen:
    """Say something, and see whether there is any answer: that alone means admitted."""
    try:
        sock.sendall(question)
        answer = sock.recv(READ_BYTES)
    except OSError as error:
        return of_error(error)
    return Seen(Word.ADMITTED, answer[:16].hex()) if answer else Seen(Word.CLOSED)


def knock(address: Address, tls: ssl.SSLContext, question: bytes) -> Seen:
    """Shake hands and ask.

    Raises:
        UnreachableError: there is no TCP connection.
    """
    try:
        sock = dial(address, tls)
    except UnreachableError:
        raise
    except OSError as error:
        return of_error(error)
    with closing(sock):
        return first_answer(sock, question)


def raw(address: Address, words: bytes, patience_s: float = PATIENCE_S) -> Seen:
    """Send bytes over plain TCP; an answer that is no TLS alert means admitted."""
    with closing(tcp(address, patience_s)) as sock:
        seen = first_answer(sock, words)
    if seen.word is Word.ADMITTED and seen.detail.startswith("15"):  # content type 21, an alert
        return Seen(Word.HANDSHAKE, "alert")
    return seen


def until_closed(sock: socket.socket, patience_s: float, dribble: Callable[[], bytes]) -> Seen:
    """Send ``dribble()`` twice a second until the other side ends it.

    Returns:
        CLOSED; ADMITTED if it answers first; HELD when it is still open after ``patience_s``.
    """
    sock.settimeout(0.5)
    for _ in range(int(patience_s * 2)):
        try:
            if words := dribble():
                sock.sendall(words)
            answer = sock.recv(READ_BYTES)
        except TimeoutError:
            continue
        except OSError as error:
            seen = of_error(error)
            return Seen(Word.CLOSED, seen.detail)
        if not answer:
            return Seen(Word.CLOSED)
        if answer[:1] == b"\x15":
            return Seen(Word.CLOSED, "alert")
        return Seen(Word.REFUSED, answer[:32].hex())
    return Seen(Word.HELD, f"for {patience_s:.0f} s")
