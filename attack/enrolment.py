"""EST: who may ask for which certificate, tokens seen by others, and requests without end."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from cryptography import x509

from attack.channel import context, dial, until_closed
from attack.forge import domain_of, request
from attack.outcome import ACCEPTED, REFUSED, Attack, Seen, Word, of_error
from attack.probe import EST, Probes, ask
from attack.rpc import CALL_S
from attack.target import Address, KeyPair, Target

SLOW_S = 90
NAMES = {
    "an X.400 address": bytes.fromhex("3002a300"),
    "an EDI party's name": bytes.fromhex("3007a505a1030c0178"),
    "names that are no names": bytes.fromhex("0500"),
}
"""Alternative names (RFC 5280, 4.2.1.6), DER, that libraries do not read."""
_ASK = f"GET {EST}/cacerts HTTP/1.1\r\nHost: localhost\r\n".encode()
HEADS = {
    "two lengths": _ASK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and chunks": (
        _ASK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "chunks of an unknown coding": _ASK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": _ASK + b"Content-Length: +5\r\n\r\nhello",
    "a length of 30 digits": _ASK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n",
    "a space before a colon": _ASK + b"Content-Length : 5\r\n\r\nhello",
    "a folded field": _ASK + b"X-A: b\r\n c\r\n\r\n",
    "a NUL in a field": _ASK + b"X-A: b\0c\r\n\r\n",
    "a bare CR in a field": _ASK + b"X-A: b\rX-B: c\r\n\r\n",
    "1,000 fields": _ASK + b"X-A: b\r\n" * 1000 + b"\r\n",
    "a field of 100,000 bytes": _ASK + b"X-A: " + b"b" * 100_000 + b"\r\n\r\n",
    "CONNECT to elsewhere": b"CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n",
    "an absolute path to elsewhere": b"GET http://192.0.2.1/x HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
    "a version that does not exist": _ASK.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
"""Shapes by which two readers of one connection see different requests (RFC 9112, 11.2)."""


class Enrolment:
    """EST: tokens, requests, and who may ask for what."""

    def __init__(self, target: Target, address: Address, probes: Probes | None) -> None:
        """Keep the parts."""
        self._target = target
        self._address = address
        self._probes = probes
        self._domain = domain_of(target)

    def all(self) -> Iterator[Attack]:
        """Every attack of this place."""
        spare, other = self._target.spare, self._target.other_device
        yield self._row("no credential", None, "simpleenroll", spare.device_id)
        yield self._row(
            "a wrong token", None, "simpleenroll", spare.device_id, (spare.device_id, "x" * 32)
        )
        yield self._row("no certificate for a renewal", None, "simplereenroll", spare.device_id)
        yield self._row(
            "renewal by a revoked device",
            self._target.revoked,
            "simplereenroll",
            self._target.revoked.device_id,
        )
        yield self._row(
            "renewal by an expired device",
            self._target.expired,
            "simplereenroll",
            self._target.expired.device_id,
        )
        yield self._row("renewal in another's name", spare, "simplereenroll", other)
        for who, pair in self._target.insiders.items():
            yield self._row(f"a device's certificate for a {who}", pair, "simplereenroll", other)
        if self._probes is not None:
            yield from self._tokens(self._probes)
        yield Attack(
            "est/a body of 100 MB", REFUSED, lambda: self._oversize("Content-Length: 100000000")
        )
        yield Attack(
            "est/chunks without end", REFUSED, lambda: self._oversize("Transfer-Encoding: chunked")
        )
        for name, head in HEADS.items():
            yield Attack(
                f"est/{name}",
                frozenset({Word.REFUSED, Word.CLOSED}),
                lambda h=head: self._raw(h),  # type: ignore[misc]
            )
        for name, path in (
            ("path with ..", f"{EST}/../../etc/passwd"),
            ("unknown label", f"{EST}/x/cacerts"),
        ):
            yield Attack(f"est/{name}", REFUSED, lambda p=path: self._get(p))  # type: ignore[misc]
        yield Attack(
            "est/a body, one byte at a time",
            frozenset({Word.CLOSED, Word.REFUSED}),
            self._slow_body,
            slow=True,
        )
        yield Attack(
            "est/a head, one byte at a time",
            frozenset({Word.CLOSED, Word.REFUSED}),
            self._slow_head,
            slow=True,
        )

    def _row(
        self,
        name: str,
        pair: KeyPair | None,
        operation: str,
        device_id: str,
        user: tuple[str, str] | None = None,
    ) -> Attack:
        return Attack(
            f"est/{name}",
            frozenset({Word.REFUSED, Word.HANDSHAKE}),
            lambda: self._enrol(pair, operation, device_id, user)[0],
        )

    def _tokens(self, probes: Probes) -> Iterator[Attack]:
        """With a token that an operator made, as after reading it over somebody's shoulder."""
        made: dict[str, str] = {}

        def new() -> tuple[str, str]:
            device_id, made[device_id] = probes.token()
            return device_id, made[device_id]

        def control() -> Seen:
            user = new()
            return self._enrol(None, "simpleenroll", user[0], user)[0]

        def replay() -> Seen:
            user = next(iter(made.items()))
            return self._enrol(None, "simpleenroll", user[0], user)[0]

        def another_id() -> Seen:
            _, token = new()
            spare = self._target.spare.device_id
            return self._enrol(None, "simpleenroll", spare, (spare, token))[0]

        def another_name() -> Seen:
            user = new()
            return self._enrol(None, "simpleenroll", self._target.other_device, user)[0]

        def greedy() -> Seen:
            user = new()
            seen, certificate = self._enrol(None, "simpleenroll", user[0], user, greedy=True)
            return seen if certificate is None else _rights(certificate, user[0])

        def strange(what: bytes) -> Seen:
            user = new()
            return self._enrol(None, "simpleenroll", user[0], user, names=what)[0]

        yield Attack("est/control: a fresh token", ACCEPTED, control)
        yield Attack("est/a token again", REFUSED, replay)
        yield Attack("est/a token for another id", REFUSED, another_id)
        yield Attack("est/a token, and another's name in the request", REFUSED, another_name)
        yield Attack("est/an authority's rights in the request", REFUSED, greedy)
        for name, names in NAMES.items():
            yield Attack(
                f"est/{name} in the request",
                REFUSED,
                lambda n=names: strange(n),  # type: ignore[misc]
            )

    def _enrol(
        self,
        pair: KeyPair | None,
        operation: str,
        device_id: str,
        user: tuple[str, str] | None = None,
        **asked: Any,
    ) -> tuple[Seen, x509.Certificate | None]:
        """Ask for a certificate, with what ``asked`` tells :func:`attack.forge.request`."""
        uri = f"spiffe://{self._domain}/device/{device_id}"
        csr = request(device_id, uri, **asked)
        try:
            with closing(self._connection(pair)) as connection:
                answer = ask(connection, operation, csr, user)
        except ConnectionRefusedError:
            raise
        except OSError as error:
            return of_error(error), None
        if answer.certificate is None:
            return _of_status(answer.status), None
        serial = answer.certificate.serial_number
        return Seen(Word.ACCEPTED, f"serial {serial:x}"), answer.certificate

    def _connection(self, pair: KeyPair | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._address.host, self._address.port, context=context(pair), timeout=CALL_S
        )

    def _get(self, path: str) -> Seen:
        with closing(self._connection(None)) as connection:
            connection.request("GET", path)
            return _of_status(connection.getresponse().status)

    def _raw(self, head: bytes) -> Seen:
        """Ask for what everybody may have, in a way that must not be understood."""
        with closing(dial(self._address, context(None))) as sock:
            sock.settimeout(CALL_S)
            sock.sendall(head)
            answer = sock.recv(4096)
        if not answer:
            return Seen(Word.CLOSED)
        return _of_line(answer)

    def _head(self, field: str) -> bytes:
        credentials = base64.b64encode(b"nobody:nothing").decode()
        return (
            f"POST {EST}/simpleenroll HTTP/1.1\r\nHost: localhost\r\n{field}\r\n"
            f"Content-Type: application/pkcs10\r\nAuthorization: Basic {credentials}\r\n\r\n"
        ).encode()

    def _oversize(self, field: str) -> Seen:
        """Send up to 1 MB of a body that never ends; it must be refused before."""
        with closing(dial(self._address, context(None))) as sock:
            sock.sendall(self._head(field))
            sock.settimeout(CALL_S)
            answer = sock.recv(4096)
        return _of_line(answer)

    def _slow_body(self) -> Seen:
        """As a device that may renew, for whom alone a body is read."""
        head = self._head("Content-Length: 600").replace(b"simpleenroll", b"simplereenroll")
        with closing(dial(self._address, context(self._target.spare))) as sock:
            sock.sendall(head)
            return until_closed(sock, SLOW_S, lambda: b"M")

    def _slow_head(self) -> Seen:
        with closing(dial(self._address, context(None))) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: ")
            return until_closed(sock, SLOW_S, lambda: b"a")


def _of_line(answer: bytes) -> Seen:
    status = answer[9:12].decode("ascii", "replace")
    return _of_status(int(status) if status.isdecimal() else 0)


def _of_status(status: int) -> Seen:
    if status == http.client.INTERNAL_SERVER_ERROR:
        return Seen(Word.FAULT, str(status))
    return Seen(Word.REFUSED if status >= http.client.BAD_REQUEST else Word.ACCEPTED, str(status))


def _rights(certificate: x509.Certificate, device_id: str) -> Seen:
    """A greedy request may be granted as a device's own certificate, and as nothing more."""
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    own = len(list(names)) == 1 and len(uris) == 1 and uris[0].endswith(f"/device/{device_id}")
    if own and not authority and list(usages) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]:
        return Seen(Word.REFUSED, "granted a device's rights alone")
    return Seen(Word.ACCEPTED, str(names))
