"""Devices that the attacker had an operator register, to lose them on purpose.

Each is enrolled by a token as any device is, and can be revoked: what is tried with its key costs
no device of the ward's anything.
"""

from __future__ import annotations

import base64
import http.client
import secrets
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from attack.channel import context
from attack.forge import domain_of, request
from attack.rpc import CALL_S, FLEET, Grpc
from attack.target import Address, Holder, KeyPair, Target
from protos.wardgate.v1 import fleet_pb2

EST = "/.well-known/est"
CONTENT_BYTES_MAX = 65_536


class Answer(NamedTuple):
    """What EST said."""

    status: int
    certificate: x509.Certificate | None = None


class EnrolmentRefusedError(ConnectionAbortedError):
    """A probe could not be enrolled: whatever was to be tried with it proves nothing."""


class Probes:
    """Registers, enrols and revokes ``probe-…`` devices."""

    def __init__(self, target: Target, scratch: Path, fleet: Address, est: Address) -> None:
        """Keep the parts; the target has an operator's certificate."""
        self._target = target
        self._scratch = scratch
        self._fleet = fleet
        self._est = est
        self._mark = secrets.token_hex(4)
        self._made = 0

    @classmethod
    def of(cls, target: Target, scratch: Path) -> Probes | None:
        """None where the target has no fleet, no enrolment, or lent no operator."""
        if target.fleet is None or target.est is None or "operator" not in target.insiders:
            return None
        return cls(target, scratch, target.fleet, target.est)

    def token(self, device_id: str = "") -> tuple[str, str]:
        """A device's id and its token: a new one's, or a further one of a device."""
        renew = bool(device_id)
        if not renew:
            device_id = f"probe-{self._made}-{self._mark}"
            self._made += 1
        call = self._grpc().channel.unary_unary(
            f"/{FLEET.full_name}/AddDevice",
            fleet_pb2.AddDeviceRequest.SerializeToString,
            fleet_pb2.AddDeviceResponse.FromString,
        )
        wanted = fleet_pb2.AddDeviceRequest(
            device_id=device_id, kind="monitor", token=True, renew=renew
        )
        return device_id, call(wanted, timeout=CALL_S).token

    def enrol(self) -> Holder:
        """A new device with its certificate.

        Raises:
            EnrolmentRefusedError: the fleet gave none.
            OSError: the connection's.
        """
        user = self.token()
        key = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask("simpleenroll", user[0], user=user, key=key)
        if answer.certificate is None:
            raise EnrolmentRefusedError(0, f"enrolment was answered with {answer.status}")
        issuer = self._target.spare.cert.read_bytes().partition(b"-----END CERTIFICATE-----\n")[2]
        pair = KeyPair(self._scratch / f"{user[0]}.pem", self._scratch / f"{user[0]}.key")
        pair.cert.write_bytes(answer.certificate.public_bytes(Encoding.PEM) + issuer)
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Holder(pair.cert, pair.key, user[0])

    def revoke(self, device_id: str) -> None:
        """Revoke what a device has; returns when the fleet has answered."""
        call = self._grpc().channel.unary_unary(
            f"/{FLEET.full_name}/Revoke",
            fleet_pb2.RevokeRequest.SerializeToString,
            fleet_pb2.RevokeResponse.FromString,
        )
        wanted = fleet_pb2.RevokeRequest(role="device", id=device_id, reason="attack")
        call(wanted, timeout=CALL_S)

    def connection(self, pair: KeyPair | None = None) -> http.client.HTTPSConnection:
        """To EST; opens nothing yet."""
        return http.client.HTTPSConnection(
            self._est.host, self._est.port, context=context(pair), timeout=CALL_S
        )

    def ask(
        self,
        operation: str,
        device_id: str,
        *,
        user: tuple[str, str] | None = None,
        key: ec.EllipticCurvePrivateKey | None = None,
        over: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """Ask for a certificate, on a connection of its own or ``over`` one that stays open.

        Raises:
            OSError: the connection's.
        """
        csr = request(device_id, self._uri(device_id), key=key)
        connection = over or self.connection()
        try:
            return ask(connection, operation, csr, user)
        finally:
            if over is None:
                connection.close()

    def _uri(self, device_id: str) -> str:
        return f"spiffe://{domain_of(self._target)}/device/{device_id}"

    def _grpc(self) -> Grpc:
        return Grpc(self._target, self._fleet, self._target.insiders["operator"])


def ask(
    connection: http.client.HTTPConnection,
    operation: str,
    csr: bytes,
    user: tuple[str, str] | None = None,
) -> Answer:
    """Ask EST for a certificate (RFC 7030, 4.2).

    Raises:
        OSError: the connection's.
    """
    headers = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
    if user is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"
    connection.request("POST", f"{EST}/{operation}", base64.encodebytes(csr), headers)
    answer = connection.getresponse()
    content = answer.read(CONTENT_BYTES_MAX)
    if answer.status != http.client.OK:
        return Answer(answer.status)
    return Answer(answer.status, pkcs7.load_der_pkcs7_certificates(base64.b64decode(content))[0])
