"""EST: who may ask for which certificate, tokens seen by others, and requests without end."""

from __future__ import annotations

import base64
import http.client
import secrets
from collections.abc import Iterator
from contextlib import closing

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from attack.channel import context, dial, until_closed
from attack.forge import request
from attack.outcome import ACCEPTED, REFUSED, Attack, Seen, Word, of_error
from attack.rpc import CALL_S, FLEET, Grpc
from attack.target import Address, KeyPair, Target
from protos.wardgate.v1 import fleet_pb2

SLOW_S = 40
EST = "/.well-known/est"


class Enrolment:
    """EST: tokens, requests, and who may ask for what."""

    def __init__(self, target: Target, address: Address) -> None:
        """Keep the parts."""
        self._target = target
        self._address = address
        self._domain = _domain(target)
        self._mark = secrets.token_hex(4)

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
        if "operator" in self._target.insiders and self._target.fleet is not None:
            yield from self._tokens(self._target.fleet)
        yield Attack(
            "est/a body of 100 MB", REFUSED, lambda: self._oversize("Content-Length: 100000000")
        )
        yield Attack(
            "est/chunks without end", REFUSED, lambda: self._oversize("Transfer-Encoding: chunked")
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

    def _tokens(self, fleet: Address) -> Iterator[Attack]:
        """With a token that an operator made, as after reading it over somebody's shoulder."""
        operator = self._target.insiders["operator"]
        made: dict[str, str] = {}

        def new() -> tuple[str, str]:
            device_id = f"probe-{len(made)}-{self._mark}"
            call = Grpc(self._target, fleet, operator).channel.unary_unary(
                f"/{FLEET.full_name}/AddDevice",
                fleet_pb2.AddDeviceRequest.SerializeToString,
                fleet_pb2.AddDeviceResponse.FromString,
            )
            answer = call(
                fleet_pb2.AddDeviceRequest(device_id=device_id, kind="monitor", token=True),
                timeout=CALL_S,
            )
            made[device_id] = answer.token
            return device_id, answer.token

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

        yield Attack("est/control: a fresh token", ACCEPTED, control)
        yield Attack("est/a token again", REFUSED, replay)
        yield Attack("est/a token for another id", REFUSED, another_id)
        yield Attack("est/a token, and another's name in the request", REFUSED, another_name)
        yield Attack("est/an authority's rights in the request", REFUSED, greedy)

    def _enrol(
        self,
        pair: KeyPair | None,
        operation: str,
        device_id: str,
        user: tuple[str, str] | None = None,
        *,
        greedy: bool = False,
    ) -> tuple[Seen, x509.Certificate | None]:
        """Ask for a certificate; the certificate if there is one."""
        uri = f"spiffe://{self._domain}/device/{device_id}"
        body = base64.encodebytes(request(device_id, uri, greedy=greedy))
        headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
        if user is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"
        connection = self._connection(pair)
        try:
            connection.request("POST", f"{EST}/{operation}", body, headers)
            answer = connection.getresponse()
            content = answer.read(65_536)
        except ConnectionRefusedError:
            raise
        except OSError as error:
            return of_error(error), None
        finally:
            connection.close()
        if answer.status != 200:
            return Seen(Word.REFUSED, str(answer.status)), None
        certificate = pkcs7.load_der_pkcs7_certificates(base64.b64decode(content))[0]
        return Seen(Word.ACCEPTED, f"serial {certificate.serial_number:x}"), certificate

    def _connection(self, pair: KeyPair | None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._address.host, self._address.port, context=context(pair), timeout=CALL_S
        )

    def _get(self, path: str) -> Seen:
        with closing(self._connection(None)) as connection:
            connection.request("GET", path)
            status = connection.getresponse().status
        return Seen(Word.REFUSED if status >= 400 else Word.ACCEPTED, str(status))

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
        status = answer[9:12].decode("ascii", "replace")
        return Seen(Word.REFUSED if status >= "400" else Word.ACCEPTED, status)

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


def _domain(target: Target) -> str:
    certificate = x509.load_pem_x509_certificates(target.spare.cert.read_bytes())[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri: str = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
    return uri.removeprefix("spiffe://").partition("/")[0]
