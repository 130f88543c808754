"""Where the gateway listens and where the devices' certificates lie.

The demo's ``endpoints.json`` is such a file; what the simulator doesn't need in it is passed
over. ``devices`` is a directory with ``<device-id>/cert.pem`` and ``key.pem``.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec
from OpenSSL import SSL

from gateway.domain.errors import ConfigError

DTLS_1_2 = 0xFEFD


class Address(msgspec.Struct, frozen=True):
    """A listener."""

    host: str
    port: int


class Est(msgspec.Struct, frozen=True):
    """The fleet's EST listener."""

    url: str
    """``https://host:port``, with or without EST's path."""


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate (leaf, then issuers) and its key, PEM."""

    cert: Path
    key: Path


class ReaderPlace(msgspec.Struct, frozen=True):
    """Where a reader listens, and what it shows; without a certificate it speaks plainly."""

    host: str
    port: int
    cert: Path | None = None
    key: Path | None = None


class Endpoints(msgspec.Struct, frozen=True):
    """What the simulator needs to know of its surroundings."""

    ca: Path | None = None
    """The root that servers' certificates chain to; None speaks plain TCP (tests only)."""
    devices: Path | None = None
    mqtt: Address | None = None
    coaps: Address | None = None
    mllp: Address | None = None
    est: Est | None = None
    """Where devices renew; None: they don't."""
    serial: dict[str, str] = {}
    """Device id -> the path or URL of the line it is plugged into."""
    lan: dict[str, Address] = {}
    """Device id -> where on the network it is, over UDP."""
    readers: dict[str, ReaderPlace] = {}
    """Device id -> where an RFID reader is to listen, with its certificate."""
    indications: Address | None = None
    """Where monitors on the network announce themselves, over UDP."""
    stranger: KeyPair | None = None
    revoked: KeyPair | None = None
    expired: KeyPair | None = None

    def key_pair(self, device_id: str) -> KeyPair:
        """The certificate of one of the ward's devices.

        Raises:
            ConfigError: it has none.
        """
        if self.devices is None:
            raise ConfigError("endpoints: `devices` names no directory of certificates")
        pair = KeyPair(self.devices / device_id / "cert.pem", self.devices / device_id / "key.pem")
        if not pair.cert.exists() or not pair.key.exists():
            raise ConfigError(f"endpoints: {device_id} has no certificate below {self.devices}")
        return pair


def load(path: Path) -> Endpoints:
    """Read an endpoints file; relative paths are taken from where it lies.

    Raises:
        ConfigError: unreadable, not JSON, or a field of the wrong type.
    """
    base = path.resolve().parent

    def hook(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return base / value
        raise NotImplementedError(kind)

    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoints, dec_hook=hook)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error


def device_tls(ca: Path, pair: KeyPair | None) -> ssl.SSLContext:
    """A device's own TLS settings: it checks the gateway's name; ``None`` shows no certificate.

    Devices are not the product: their contexts are made here and not by ``security.tls``, so
    that a fault in ours isn't mirrored by its test.

    Raises:
        ConfigError: a file is missing or no PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(ca)
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"endpoints: a device's certificate can't be used: {error}") from error
    return context


def reader_tls(place: ReaderPlace, ca: Path | None) -> ssl.SSLContext | None:
    """A reader's TLS settings; it wants the gateway's certificate where it knows the root.

    Raises:
        ConfigError: a file is missing or no PEM.
    """
    if place.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(place.cert, place.key)
        if ca is not None:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise ConfigError(f"endpoints: a reader's certificate can't be used: {error}") from error
    return context


def device_dtls(ca: Path, pair: KeyPair | None) -> SSL.Context:
    """As :func:`device_tls`, for CoAP: DTLS 1.2.

    Raises:
        ConfigError: a file is missing or no PEM.
    """
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    context.set_min_proto_version(DTLS_1_2)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET)
    context.set_verify(SSL.VERIFY_PEER)
    try:
        context.load_verify_locations(str(ca))
        if pair is not None:
            show(context, pair)
    except SSL.Error as error:
        raise ConfigError(f"endpoints: a device's certificate can't be used: {error}") from error
    return context


def show(context: SSL.Context, pair: KeyPair) -> None:
    """Have the next handshakes of a DTLS context show a certificate.

    Raises:
        SSL.Error: it can't be used.
    """
    context.use_certificate_chain_file(str(pair.cert))
    context.use_privatekey_file(str(pair.key))
