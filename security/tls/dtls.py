"""Contexts for DTLS 1.2."""

from __future__ import annotations

from typing import Final

from cryptography import x509
from OpenSSL import SSL, crypto

from security.files import TlsFiles
from security.tls.material import NO_CHECK_TIME, TLS12_CIPHERS, check_files
from security.tls.peers import VerifyWatcher

DTLS12_CIPHERS: Final = TLS12_CIPHERS + ":ECDHE-ECDSA-AES128-CCM8"
"""RFC 7252, 9.1.3.3 makes AES_128_CCM_8 mandatory; OpenSSL offers it where its level allows."""
DTLS_1_2: Final = 0xFEFD


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
            store.set_flags(NO_CHECK_TIME)
    return context


def dtls_client_context(files: TlsFiles) -> SSL.Context:
    """A DTLS 1.2 context for connecting out; the transport names the host by ``set1_host``.

    Raises:
        ConfigError: as :func:`server_context`.
    """
    return _dtls(SSL.DTLS_CLIENT_METHOD, files)


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
