"""gRPC's credentials, and who calls."""

from __future__ import annotations

import ssl
from typing import Any, Final

import grpc

from gateway.domain.errors import ConfigError, RefusalReason, RefusedError
from security.files import TlsFiles, read_secret
from security.names import Identity, parse_identity
from security.tls.material import check_files, files_signature

GRPC_TLS_VERSIONS: Final = frozenset((b"TLSv1.3", b"TLSv1.2"))
"""As gRPC's ``ssl_tls_version`` names them."""


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
            configuration = _configuration(pinned)
        except (OSError, ConfigError):
            return None
        seen = found
        return configuration

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files),
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


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(read_secret(files.key), files.cert.read_bytes())],
        root_certificates=files.trust.read_bytes(),
    )
