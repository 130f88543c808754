"""Who gets through the handshake, and what broken handshakes bring, on TLS and DTLS."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import NamedTuple

from OpenSSL import SSL

from attack import coap, dtls, mqtt
from attack.channel import (
    PATIENCE_S,
    READ_BYTES,
    context,
    dial,
    first_answer,
    knock,
    raw,
    tcp,
    until_closed,
)
from attack.forge import Forger
from attack.outcome import KEPT_OUT, NO_WORD, Attack, Seen, Word, of_error
from attack.target import Address, KeyPair, Target

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
"""With an empty SETTINGS frame (RFC 9113, 3.4): a server that admits us answers with its own."""
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPTIONAL = ("no certificate", "expired")
"""Where a certificate is asked for only by some requests; see the attacks on enrolment."""
LONG_CHAIN = "good, with 256 KiB of chain"
HANDSHAKE_PATIENCE_S = 60
"""Longer than any listener waits for a handshake or a first request."""
SILENT_S = 5.0
"""Where no answer is as good as a refusal."""
_SSL_3 = b"\x16\x03\0\0\x2d\x01\0\0\x29\x03\0" + b"r" * 32 + b"\0\0\x02\0\x0a\x01\0"
"""A ClientHello for 3DES, without extensions."""
RESUMED_NOT = frozenset({Word.FULL})
EITHER = frozenset({Word.FULL, Word.RESUMED})


class Place(NamedTuple):
    """A listener over TLS."""

    name: str
    address: Address
    question: bytes
    """What it answers when it has admitted somebody."""
    alpn: tuple[str, ...] = ()
    demands: bool = True
    """Whether it demands a good certificate in the handshake, and not only for some requests."""
    tickets: bool = False
    """Whether it gives tickets. gRPC's library can't be told not to."""


def places(target: Target) -> Iterator[Place]:
    """What the target has."""
    yield Place("mqtt", target.mqtt, mqtt.CONNECT_ANYBODY)
    if target.fleet is not None:
        yield Place("fleet", target.fleet, HTTP2_PREFACE, ("h2",), tickets=True)
    if target.core is not None:
        yield Place("core", target.core, HTTP2_PREFACE, ("h2",), tickets=True)
    if target.est is not None:
        yield Place("est", target.est, HTTP_REQUEST, demands=False)


def certificates(target: Target, forger: Forger) -> Iterator[tuple[str, KeyPair | None]]:
    """Whose certificates get nobody in, by name."""
    device = target.spare.device_id
    yield "no certificate", None
    yield "stranger", target.stranger
    yield "expired", target.expired
    yield "self-signed", forger.self_signed(device)
    yield "authority that looks alike", forger.look_alike(device)
    yield "signed by a device", forger.by_a_leaf(target.other_device)
    yield "authority below a device", forger.by_a_sub_authority(target.other_device)
    other = f"other.{forger.domain}"
    yield "certificate of 64 KiB", forger.too_much(device)
    yield LONG_CHAIN, forger.long_chain()
    yield "name outside the constraint", forger.by_a_sub_authority(device, other)


def all_attacks(target: Target, forger: Forger) -> Iterator[Attack]:
    """Every attack on handshakes."""
    pairs = list(certificates(target, forger))
    # What is good, but not a device's, or not any more.
    elsewhere: list[tuple[str, KeyPair]] = [("revoked", target.revoked)]
    elsewhere += [
        (f"{role}'s certificate as a device", pair) for role, pair in target.insiders.items()
    ]
    for place in places(target):
        for name, pair in pairs:
            if not place.demands and name in OPTIONAL:
                continue
            tls = context(pair, None, place.alpn)
            yield _knock(f"{place.name}/{name}", KEPT_OUT, place, tls)
        yield from broken(place, target.spare)
    for name, pair in elsewhere:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            label = f"mqtt/{name}, {version.name[:3]} 1.{version.name[-1]}"
            yield _knock(
                label,
                KEPT_OUT,
                Place("", target.mqtt, mqtt.CONNECT_ANYBODY),
                context(pair, version),
            )
    for name, pair in [*pairs, *elsewhere]:
        words, patience_s = KEPT_OUT, PATIENCE_S
        if name == LONG_CHAIN:  # a flight beyond every bound has no answer: nothing says whose
            words, patience_s = NO_WORD, SILENT_S
        yield Attack(f"coap/{name}", words, partial(coap.certificate, target, pair, patience_s))
    yield from _broken_dtls(target)
    yield Attack("pki/a device's certificate as a server's", KEPT_OUT, lambda: _as_server(target))


def _knock(name: str, expected: frozenset[Word], place: Place, tls: ssl.SSLContext) -> Attack:
    return Attack(name, expected, lambda: knock(place.address, tls, place.question))


def broken(place: Place, spare: KeyPair) -> Iterator[Attack]:
    """What needs no certificate, and what a good one doesn't help."""
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        name = "TLS 1.0" if version is ssl.TLSVersion.TLSv1 else "TLS 1.1"
        yield _knock(f"{place.name}/{name}", KEPT_OUT, place, context(spare, version))
    hello = client_hello()
    for name, words in {
        "plaintext": place.question,
        "garbage": secrets.token_bytes(2048),
        "SSL 3.0": _SSL_3,
        "a record of 65,535 bytes": b"\x16\x03\x01\xff\xff" + b"\0" * 65_535,
        "a hello of 16 MiB": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03" + b"\0" * 16_373,
        "a hello cut short": hello[:5] + b"\x01\x00\x00\x02\x03\x03",
        "data before the handshake": b"\x17\x03\x03\x00\x20" + secrets.token_bytes(32),
        "an alert first": b"\x15\x03\x03\x00\x02\x02\x28",
        "empty records": b"\x16\x03\x01\x00\x00" * 2_000,
    }.items():
        yield Attack(
            f"{place.name}/{name}",
            NO_WORD,
            lambda w=words: raw(place.address, w, 2.0),  # type: ignore[misc]
            slow=True,
        )
    yield Attack(
        f"{place.name}/silence instead of a handshake",
        frozenset({Word.CLOSED}),
        lambda: _silent(place.address, b""),
        slow=True,
    )
    yield Attack(
        f"{place.name}/a hello, one byte at a time",
        frozenset({Word.CLOSED}),
        lambda: _silent(place.address, hello),
        slow=True,
    )
    # Python's and gRPC's libraries can't decline a session id of TLS 1.2. Whatever is resumed is
    # judged anew, by the certificate that it was made with: see the attacks after a revocation.
    yield Attack(
        f"{place.name}/session resumption, TLS 1.2", EITHER, lambda: _resume(place, spare, 2)
    )
    yield Attack(
        f"{place.name}/session resumption, TLS 1.3",
        EITHER if place.tickets else RESUMED_NOT,
        lambda: _resume(place, spare, 3),
    )
    yield Attack(
        f"{place.name}/renegotiation",
        frozenset({Word.HANDSHAKE, Word.CLOSED, Word.SILENT}),
        lambda: _renegotiate(place, spare),
    )


def client_hello() -> bytes:
    """An honest TLS client's first record."""
    outgoing = ssl.MemoryBIO()
    tls = context(None).wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("no handshake ends without an answer")


def _silent(address: Address, words: bytes) -> Seen:
    left = iter(words[:-1])  # never all of it
    with closing(tcp(address)) as sock:
        return until_closed(
            sock,
            HANDSHAKE_PATIENCE_S,
            lambda: bytes([each]) if (each := next(left, None)) is not None else b"",
        )


def _resume(place: Place, spare: KeyPair, minor: int) -> Seen:
    """Take whatever the first connection leaves, and offer it to a second one."""
    version = ssl.TLSVersion.TLSv1_3 if minor == 3 else ssl.TLSVersion.TLSv1_2
    tls = context(spare, version, place.alpn)
    with closing(dial(place.address, tls)) as first:
        seen = first_answer(first, place.question)  # tickets of TLS 1.3 come before it
        session = first.session
        if seen.word is not Word.ADMITTED:
            return seen
        if session is None:
            return Seen(Word.FULL, "no session")
        # While the first one stands: a server forgets the session of a connection that is cut.
        with closing(dial(place.address, tls, session)) as second:
            if second.session_reused:
                return Seen(Word.RESUMED)
    return Seen(Word.FULL, "ticket ignored" if session.has_ticket else "no ticket")


def _renegotiate(place: Place, spare: KeyPair) -> Seen:
    """Ask for a second handshake in the same connection (TLS 1.2)."""
    made = SSL.Context(SSL.TLS_CLIENT_METHOD)
    made.set_max_proto_version(SSL.TLS1_2_VERSION)
    made.use_certificate_chain_file(str(spare.cert))
    made.use_privatekey_file(str(spare.key))
    if place.alpn:
        made.set_alpn_protos([each.encode() for each in place.alpn])
    with closing(tcp(place.address)) as sock:
        sock.setblocking(True)  # the library waits by itself
        sock.setsockopt(1, 20, struct.pack("ll", 1, 0))  # SOL_SOCKET, SO_RCVTIMEO
        connection = SSL.Connection(made, sock)
        connection.set_connect_state()
        _shake_hands(connection)
        handshakes = connection.total_renegotiations()
        connection.send(place.question)
        with contextlib.suppress(SSL.WantReadError):  # nothing more for a while
            while True:
                connection.recv(READ_BYTES)
        try:
            connection.renegotiate()
            connection.do_handshake()
            connection.send(place.question)
            connection.recv(READ_BYTES)
        except SSL.ZeroReturnError:
            return Seen(Word.CLOSED)
        except SSL.WantReadError:
            return Seen(Word.SILENT)
        except SSL.SysCallError as error:
            return Seen(Word.CLOSED, str(error.args[-1]))
        except SSL.Error as error:
            return of_error(error)
        if connection.total_renegotiations() == handshakes:
            return Seen(Word.SILENT, "ignored")
    return Seen(Word.ADMITTED, "renegotiated")


def _shake_hands(connection: SSL.Connection) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return connection.do_handshake()
        except SSL.WantReadError:
            if time.monotonic() > end:
                raise TimeoutError from None


def _as_server(target: Target) -> Seen:
    """A stolen device's key plays the gateway: what a client that checks makes of it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(target.spare.cert, target.spare.key)
    client = ssl.create_default_context(cafile=str(target.ca))
    client.check_hostname = False
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return Seen(Word.HANDSHAKE, error.verify_message)
    return Seen(Word.ADMITTED)


def _broken_dtls(target: Target) -> Iterator[Attack]:
    address = target.coaps
    old = dtls.context(target.spare, dtls.DTLS_1_0)
    yield Attack("coap/DTLS 1.0", NO_WORD, lambda: dtls.knock(address, old, coap.PING, SILENT_S))
    hello = _dtls_hello(address)
    record = b"\x16\xfe\xfd" + b"\0" * 8
    for name, datagram in {
        "plaintext": coap.PING,
        "garbage": secrets.token_bytes(512),
        "a datagram of 60,000 bytes": record + b"\xea\x60" + b"\0" * 60_000,
        "a hello cut short": hello[:40],
        "a record longer than its datagram": hello[:11] + b"\xff\xff" + hello[13:],
        "a hello in fragments": hello[:19] + b"\0\0\x05" + b"\0\0\x08" + hello[25:33],
        "a forged cookie": _with_cookie(hello, secrets.token_bytes(32)),
    }.items():
        # A hello without the right cookie may be answered with another cookie, and no more.
        yield Attack(
            f"coap/{name}",
            NO_WORD,
            lambda d=datagram: _only_a_cookie(dtls.raw(address, d)),  # type: ignore[misc]
            slow=True,
        )
    yield Attack(
        "coap/a cookie of another address",
        NO_WORD,
        lambda: _only_a_cookie(dtls.raw(address, _with_cookie(hello, _cookie_for(address, hello)))),
        slow=True,
    )
    yield Attack("coap/session resumption", RESUMED_NOT, lambda: _resume_dtls(target))
    yield Attack("coap/renegotiation", NO_WORD, lambda: _renegotiate_dtls(target))


def _only_a_cookie(seen: Seen) -> Seen:
    """HelloVerifyRequest (handshake type 3) keeps no state: as good as no answer."""
    answer = bytes.fromhex(seen.detail) if seen.word is Word.ADMITTED else b""
    if answer[:1] == b"\x16" and answer[13:14] == b"\x03":
        return Seen(Word.SILENT, "but for a fresh cookie")
    return seen


def _dtls_hello(address: Address) -> bytes:
    with dtls.Connection(address, dtls.context(None)) as connection:
        try:
            connection.tls.do_handshake()
        except SSL.WantReadError:
            return connection.tls.bio_read(READ_BYTES)
    raise AssertionError("no handshake ends without an answer")


def _cookie_for(address: Address, hello: bytes) -> bytes:
    """The cookie that the server gives to another port of ours."""
    with dtls.Connection(address, dtls.context(None)) as connection:
        connection.send(hello)
        try:
            answer = connection.receive()
        except TimeoutError:
            return b""
    return answer[28:] if answer[13:14] == b"\x03" else b""


def _with_cookie(hello: bytes, cookie: bytes) -> bytes:
    """The hello (one fragment, no session id) again, with a cookie (RFC 6347, 4.2.1)."""
    body = hello[25:]
    at = 2 + 32 + 1 + body[34]  # version, random, session id
    body = body[:at] + bytes([len(cookie)]) + cookie + body[at + 1 + body[at] :]
    size = len(body).to_bytes(3, "big")
    handshake = b"\x01" + size + b"\x00\x01" + b"\0\0\0" + size + body
    return hello[:11] + len(handshake).to_bytes(2, "big") + handshake


def _resume_dtls(target: Target) -> Seen:
    tls = dtls.context(target.spare)
    with dtls.Connection(target.coaps, tls) as first:
        first.handshake()
        first.ask(coap.PING)
        session = first.tls.get_session()
        first.tls.shutdown()
        first.flush()
    if session is None:
        return Seen(Word.FULL, "no session")
    with dtls.Connection(target.coaps, tls, session) as second:
        second.handshake()
        resumed = second.tls.session_reused() if hasattr(second.tls, "session_reused") else None
        ours, theirs = first.tls.master_key(), second.tls.master_key()
        second.ask(coap.PING)
    if resumed or ours == theirs:
        return Seen(Word.RESUMED)
    return Seen(Word.FULL, "new master secret")


def _renegotiate_dtls(target: Target) -> Seen:
    with dtls.Connection(target.coaps, dtls.context(target.spare)) as connection:
        connection.handshake()
        connection.ask(coap.PING)
        connection.tls.renegotiate()
        try:
            connection.handshake(2.0)
        except (OSError, SSL.Error) as error:
            return of_error(error)
        pending = connection.tls.renegotiate_pending()
    return Seen(Word.SILENT, "ignored") if pending else Seen(Word.ADMITTED, "renegotiated")


__all__ = ["Place", "all_attacks", "certificates", "client_hello", "places"]

Run = Callable[[], Seen]
