"""The only builder of TLS and DTLS contexts.

Rules (BSI TR-02102-2, RFC 9325):

* TLS 1.2 and 1.3, DTLS 1.2; AEAD suites with forward secrecy only; no compression, no
  renegotiation. gRPC has no setting for it: its BoringSSL refuses older versions and other suites
  by itself, which a test watches, and the version is looked at again for each call.
* Both sides show a certificate. A server requires one with clientAuth, a client one with
  serverAuth and the host's name: a device's certificate can't serve.
* No session tickets, and no resumption at all over DTLS: a resumed session's certificate is not
  verified again. Python's ``ssl`` has no switch for the session ids of TLS 1.2 (nor gRPC for its
  tickets), so whoever admits must look at expiry and revocation on each connection, of the
  certificate that the session was made with, as the identity service does. New files mean new
  contexts, which know no session of before.
* Revocation is not checked here (see :mod:`security.identity`): a missing list must not darken
  a ward.
* Contexts don't change. New certificate files mean new contexts (:class:`TlsContexts`); sessions
  that stand keep theirs.
"""

from __future__ import annotations

import _ssl
import contextlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import grpc
from cryptography import x509
from OpenSSL import SSL, crypto

from gateway.domain.errors import ConfigError, RefusalReason, RefusedError
from gateway.domain.ports import Clock
from security.files import TlsFiles, check_secret, read_secret
from security.names import UNREADABLE, Identity, parse_identity
from security.pins import pin_of

TLS12_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
)
PINNED_TLS12_CIPHERS = TLS12_CIPHERS + ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
DTLS12_CIPHERS = TLS12_CIPHERS + ":ECDHE-ECDSA-AES128-CCM8"
"""RFC 7252, 9.1.3.3 makes AES_128_CCM_8 mandatory; OpenSSL offers it where its level allows."""
DTLS_1_2 = 0xFEFD
GRPC_TLS_VERSIONS = frozenset((b"TLSv1.3", b"TLSv1.2"))
"""As gRPC's ``ssl_tls_version`` names them."""

_CERTIFICATE_END = "-----END CERTIFICATE-----"
_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of x509_vfy.h, which ``ssl`` passes on."""
_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED = 9, 10
"""X509_V_ERR_* of OpenSSL's x509_vfy.h."""


@runtime_checkable
class VerifyWatcher(Protocol):
    """What a DTLS connection's ``app_data`` may be, to learn why a certificate was refused."""

    def verify_failed(self, code: int) -> None:
        """Verification ended with this X509_V_ERR code; see :func:`refusal_of_code`."""


def server_context(files: TlsFiles, *, check_time: bool = True) -> ssl.SSLContext:
    """A context for a listener: client certificates required, verified for clientAuth.

    Without ``check_time`` (the wall clock is wrong, see :mod:`security.timefloor`) whoever admits
    must judge the certificate's end.

    Raises:
        ConfigError: a file is missing, readable by others, damaged or doesn't fit the others.
    """
    files = files.pinned()
    context = _ServerContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, files, check_time=check_time)
    # Some clients send their leaf alone, as EST hands it out. A client's issuer is our own as a
    # rule: knowing it completes their chain, which must still end at a trusted root.
    issuers = files.cert.read_text().partition(_CERTIFICATE_END)[2]
    if issuers.strip():
        context.load_verify_locations(cadata=issuers)
    context.num_tickets = 0
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def enrolment_context(files: TlsFiles, births: bytes = b"") -> ssl.SSLContext:
    """A context for a listener where a client certificate is optional, and looked at again.

    Accepted are certificates of our own trust roots and of ``births``, the PEM of manufacturers'
    roots. Times are not checked and manufacturers need not follow RFC 5280 to the letter, so
    whoever uses this must verify what :func:`peer_certificates` gives with
    :func:`security.chains.verify`, against the roots that the request is to be judged by.

    Raises:
        ConfigError: as :func:`server_context`, or ``births`` is damaged.
    """
    context = server_context(files)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    # Last, since the inversion above drops flags that ``ssl`` has no name for.
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    if births:
        try:
            context.load_verify_locations(cadata=births.decode("ascii"))
        except (ValueError, ssl.SSLError) as error:
            raise ConfigError("a manufacturer's root can't be used") from error
    return context


def told_context(files: TlsFiles) -> ssl.SSLContext:
    """A context for a listener that asks for no client certificate.

    Who tells it something proves by other means that it may. A renewed certificate is for the next
    handshake.

    Raises:
        ConfigError: as :func:`server_context`.
    """

    def make() -> ssl.SSLContext:
        context = server_context(files)
        context.verify_mode = ssl.CERT_NONE
        return context

    made, seen = make(), files_signature(files.pinned())

    def renew(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal made, seen
        with contextlib.suppress(OSError, ConfigError):  # what was loaded last stays in force
            now = files_signature(files.pinned())
            if now != seen:
                made, seen = make(), now
        connection.context = made

    first = make()
    first.sni_callback = renew
    return first


def peer_certificates(connection: ssl.SSLObject) -> list[bytes]:
    """What the peer of a connection sent, DER, its own certificate first; empty without one."""
    if connection.getpeercert(binary_form=True) is None:
        return []
    if hasattr(connection, "get_unverified_chain"):  # Python 3.13
        return list(connection.get_unverified_chain())
    chain = connection._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return [each.public_bytes(_ssl.ENCODING_DER) for each in chain]


def client_context(files: TlsFiles, *, check_time: bool = True) -> ssl.SSLContext:
    """A context for connecting out: shows our certificate, checks host name and serverAuth.

    Without ``check_time`` the caller must judge the end of the server's certificate.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, files.pinned(), check_time=check_time)
    context.check_hostname = True
    context.hostname_checks_common_name = False
    return context


def pinned_context() -> ssl.SSLContext:
    """A context for connecting out to who is known by a pinned key alone.

    Nothing of that certificate is verified but that the peer has its key: whoever uses this
    compares :func:`pin_of_peer` before a word is said. We show no certificate. Such peers are
    appliances that have made their certificate themselves, with an RSA key as a rule.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(PINNED_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pin_of_peer(certificate_der: bytes) -> str:
    """The pin (:mod:`security.pins`) of what a peer showed; empty when it can't be read."""
    try:
        return pin_of(x509.load_der_x509_certificate(certificate_der))
    except UNREADABLE:
        return ""


def https_context(
    files: TlsFiles, *, shows_certificate: bool = True, anchor: bytes = b""
) -> ssl.SSLContext:
    """As :func:`client_context`, for a service that is not of our own.

    Args:
        files: our certificate for it, and whom to trust there.
        shows_certificate: False where something else says who we are.
        anchor: PEM: trust nothing but this certificate, which was pinned.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = True
    context.hostname_checks_common_name = False
    _settle(context, check_time=True)
    if shows_certificate:
        files = files.pinned()
        check_secret(files.key)
        _leaf(files.cert)
        _load_own(context, files)
    if anchor:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=anchor.decode())
    else:
        _leaf(files.trust)
        _load_trust(context, files)
    return context


def dtls_server_context(files: TlsFiles, *, check_time: bool = True) -> SSL.Context:
    """A DTLS 1.2 context for a listener that does a cookie exchange (RFC 6347, 4.2.1).

    The transport sets the cookie callbacks, on each context anew. If the connection's app data
    is a :class:`VerifyWatcher`, it is told why a client's certificate was refused.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    files = files.pinned()
    context = _dtls(SSL.DTLS_SERVER_METHOD, files)
    context.set_options(SSL.OP_COOKIE_EXCHANGE)  # type: ignore[arg-type]  # None without DTLS
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.load_client_ca(bytes(files.trust))
    # Some clients (libcoap on OpenSSL) send their leaf alone. A device's issuer is our own as a
    # rule: knowing it completes their chain, which must still end at a trusted root.
    store = context.get_cert_store()
    if store is not None:
        for issuer in x509.load_pem_x509_certificates(files.cert.read_bytes())[1:]:
            store.add_cert(crypto.X509.from_cryptography(issuer))
        if not check_time:
            store.set_flags(_NO_CHECK_TIME)
    return context


def dtls_client_context(files: TlsFiles) -> SSL.Context:
    """A DTLS 1.2 context for connecting out; the transport names the host by ``set1_host``.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    return _dtls(SSL.DTLS_CLIENT_METHOD, files)


def grpc_server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that require client certificates; changed files apply to new handshakes.

    Files that can't be used are ignored, and what was loaded last stays in force.

    Raises:
        ConfigError: the files can't be used now.
    """
    check_files(files)
    seen = files_signature(files)

    def reload() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        try:
            pinned = files.pinned()
            found = files_signature(pinned)
            if found == seen:
                return None
            check_files(pinned)
            configuration = _grpc_configuration(pinned)
        except (OSError, ConfigError):
            return None
        seen = found
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        _grpc_configuration(files),
        reload,  # type: ignore[arg-type]  # None means no change, says its documentation
        require_client_authentication=True,
    )


def grpc_channel_credentials(files: TlsFiles, anchor: bytes = b"") -> grpc.ChannelCredentials:
    """Credentials for a channel; a changed certificate needs a new channel.

    Args:
        files: ours.
        anchor: PEM of the one certificate that the peer's chain must end at, instead of the roots:
            its own, or that of a CA above it. gRPC's verification takes any certificate for an
            anchor, not only a root's, which a test watches.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    files = files.pinned()
    check_files(files)
    return grpc.ssl_channel_credentials(
        root_certificates=anchor or files.trust.read_bytes(),
        private_key=read_secret(files.key),
        certificate_chain=files.cert.read_bytes(),
    )


def grpc_peer_identity(context: Any, trust_domain: str) -> Identity:
    """Who calls, from the certificate that the peer of this RPC proved.

    ``context`` is a servicer context of grpc or grpc.aio.

    Raises:
        RefusedError: ``handshake`` for a TLS version that is too old or unknown,
            ``no_certificate`` on a channel without one, else as ``parse_identity``.
    """
    known = dict(context.auth_context())
    versions = known.get("ssl_tls_version")
    if not versions or not GRPC_TLS_VERSIONS.issuperset(versions):
        raise RefusedError(RefusalReason.HANDSHAKE, "TLS version")
    certificates = known.get("x509_pem_cert")
    if not certificates:
        raise RefusedError(RefusalReason.NO_CERTIFICATE)
    try:
        der = ssl.PEM_cert_to_DER_cert(certificates[0].decode("ascii"))
    except ValueError as error:
        raise RefusedError(RefusalReason.MALFORMED, "unreadable certificate") from error
    return parse_identity(der, trust_domain)


def refusal_of_code(code: int) -> str:
    """The refusal reason for an X509_V_ERR code."""
    expired = code in {_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED}
    return RefusalReason.EXPIRED if expired else RefusalReason.UNTRUSTED


def refusal_of(error: BaseException) -> str:
    """The refusal reason for what a listener's TLS handshake raised."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return refusal_of_code(error.verify_code)
    if isinstance(error, ssl.SSLError):
        if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
            return RefusalReason.NO_CERTIFICATE
        if error.reason == "CERTIFICATE_VERIFY_FAILED":
            return RefusalReason.UNTRUSTED
    return RefusalReason.HANDSHAKE


def alert_of(error: BaseException) -> bytes:
    """The TLS alert that a failed handshake of a server context has for the peer.

    asyncio and uvloop close such a connection without writing it, so that the peer would not
    learn what is wrong with its certificate.
    """
    alert = getattr(error, "alert", b"")
    return alert if isinstance(alert, bytes) else b""


class _ServerObject(ssl.SSLObject):
    """Leaves the alert of a failed handshake in the exception."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            error.alert = self.outgoing.read()  # type: ignore[attr-defined]
            raise


class _ServerContext(ssl.SSLContext):
    sslobject_class = _ServerObject

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, _ServerObject)
        made.outgoing = outgoing
        return made


class _Built(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext
    dtls_server: SSL.Context
    not_after: float


class TlsContexts:
    """The current contexts of one identity, swapped together when its files change.

    Its bound methods fit ``Ports.server_tls``, ``server_dtls`` and ``client_tls``.
    """

    def __init__(
        self, files: TlsFiles, clock: Clock, checks_time: Callable[[], bool] = lambda: True
    ) -> None:
        """Build all contexts; ``checks_time`` is asked whether the wall clock counts.

        Raises:
            ConfigError: as :func:`server_context`.
        """
        self.files = files
        self._clock = clock
        self._checks_time = checks_time
        self._built = self._build()

    def server(self) -> ssl.SSLContext:
        """For a new connection to a listener of ours."""
        return self._built.server

    def client(self) -> ssl.SSLContext:
        """For a new connection of ours."""
        return self._built.client

    def dtls_server(self) -> SSL.Context:
        """For a new DTLS listener state; another object after each reload."""
        return self._built.dtls_server

    def reload(self) -> None:
        """Build anew from the files; contexts handed out before stay usable.

        Raises:
            ConfigError: the files can't be used, and the present contexts stay in force.
        """
        self.renewal()()

    def renewal(self) -> Callable[[], None]:
        """Build anew from the files; calling what is returned puts the contexts in force.

        Raises:
            ConfigError: the files can't be used.
        """
        built = self._build()

        def apply() -> None:
            self._built = built

        return apply

    def certificate_seconds_left(self) -> float:
        """Until the certificate in force ends; negative afterwards."""
        return self._built.not_after - self._clock.now_us() / 1e6

    def _build(self) -> _Built:
        files, check_time = self.files.pinned(), self._checks_time()
        return _Built(
            server=server_context(files, check_time=check_time),
            client=client_context(files, check_time=check_time),
            dtls_server=dtls_server_context(files, check_time=check_time),
            not_after=_leaf(files.cert).not_valid_after_utc.timestamp(),
        )


def check_files(files: TlsFiles) -> None:
    """Whether the three files exist, fit each other and are safe to use.

    Raises:
        ConfigError: with the path of what is wrong.
    """
    check_secret(files.key)
    _leaf(files.cert)
    _leaf(files.trust)
    _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)


def _harden(context: ssl.SSLContext, files: TlsFiles, *, check_time: bool) -> None:
    check_secret(files.key)
    _leaf(files.cert)
    _leaf(files.trust)
    _settle(context, check_time=check_time)
    _load(context, files)


def _settle(context: ssl.SSLContext, *, check_time: bool) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    if not check_time:
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    _load_own(context, files)
    _load_trust(context, files)


def _load_own(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.key}: not the private key of {files.cert}") from error


def _load_trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_verify_locations(files.trust)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.trust}: not a PEM certificate") from error


def _dtls(method: int, files: TlsFiles) -> SSL.Context:
    check_files(files)
    context = SSL.Context(method)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    # The MTU is the transport's to set: a socket behind a memory BIO can't be asked.
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(DTLS12_CIPHERS.encode())
    context.use_certificate_chain_file(str(files.cert))
    context.use_privatekey_file(str(files.key))
    context.check_privatekey()
    context.load_verify_locations(str(files.trust))
    store = context.get_cert_store()
    if store is not None:
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_verify)
    return context


def _on_verify(
    connection: SSL.Connection, _certificate: crypto.X509, code: int, _depth: int, ok: int
) -> bool:
    if not ok:
        watcher = connection.get_app_data()
        if isinstance(watcher, VerifyWatcher):
            watcher.verify_failed(code)
    return bool(ok)


def _leaf(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise ConfigError(f"{path}: can't read the certificate: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: not a PEM certificate") from error


def _grpc_configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(read_secret(files.key), files.cert.read_bytes())],
        root_certificates=files.trust.read_bytes(),
    )


def files_signature(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    """Differs when a file was replaced.

    Raises:
        OSError: a file is missing.
    """
    found = [path.stat() for path in files]
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


__all__ = [
    "TlsContexts",
    "TlsFiles",
    "VerifyWatcher",
    "alert_of",
    "check_files",
    "client_context",
    "dtls_client_context",
    "dtls_server_context",
    "enrolment_context",
    "files_signature",
    "grpc_channel_credentials",
    "grpc_peer_identity",
    "grpc_server_credentials",
    "peer_certificates",
    "refusal_of",
    "refusal_of_code",
    "server_context",
]
