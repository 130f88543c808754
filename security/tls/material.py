"""The three files of an identity, and what every context makes of them."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.domain.errors import ConfigError
from security.files import TlsFiles, check_secret

TLS12_CIPHERS: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
)
NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAGNO_CHECK_TIME of x509_vfy.h, which ``ssl`` passes on."""


def check_files(files: TlsFiles) -> None:
    """Whether the three files exist, fit each other and are safe to use.

    Raises:
        ConfigError: with the path of what is wrong.
    """
    check_secret(files.key)
    leaf(files.cert)
    leaf(files.trust)
    load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files)


def files_signature(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    """Differs when a file was replaced.

    Raises:
        OSError: a file is missing.
    """
    found = [path.stat() for path in files]
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def leaf(path: Path) -> x509.Certificate:
    """The first certificate of a file.

    Raises:
        ConfigError: there is none, or it can't be read.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise ConfigError(f"{path}: can't read the certificate: {error.strerror}") from error
    except (ValueError, x509.InvalidVersion) as error:
        raise ConfigError(f"{path}: not a PEM certificate") from error


def load(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Take over our certificate, and whom we trust.

    Raises:
        ConfigError: they can't be used.
    """
    load_own(context, files)
    load_trust(context, files)


def load_own(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Take over our certificate.

    Raises:
        ConfigError: the key is not that of the certificate.
    """
    try:
        context.load_cert_chain(files.cert, files.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.key}: not the private key of {files.cert}") from error


def load_trust(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Take over whom we trust.

    Raises:
        ConfigError: it is not PEM.
    """
    try:
        context.load_verify_locations(files.trust)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{files.trust}: not a PEM certificate") from error
