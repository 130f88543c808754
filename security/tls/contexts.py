"""Contexts for TLS over TCP."""

from __future__ import annotations

import contextlib
import ssl
from typing import Final

from gateway.domain.errors import ConfigError
from security.files import TlsFiles, check_secret
from security.tls.material import (
    NO_CHECK_TIME,
    TLS12_CIPHERS,
    files_signature,
    leaf,
    load,
    load_own,
    load_trust,
)

PINNED_TLS12_CIPHERS: Final = (
    TLS12_CIPHERS + ":ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
)
_CERTIFICATE_END: Final = "-----END CERTIFICATE-----"


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
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
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
        leaf(files.cert)
        load_own(context, files)
    if anchor:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=anchor.decode())
    else:
        leaf(files.trust)
        load_trust(context, files)
    return context


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


def _harden(context: ssl.SSLContext, files: TlsFiles, *, check_time: bool) -> None:
    check_secret(files.key)
    leaf(files.cert)
    leaf(files.trust)
    _settle(context, check_time=check_time)
    load(context, files)


def _settle(context: ssl.SSLContext, *, check_time: bool) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    if not check_time:
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
