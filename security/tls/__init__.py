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

from security.files import TlsFiles
from security.tls.contexts import (
    client_context,
    enrolment_context,
    https_context,
    pinned_context,
    server_context,
    told_context,
)
from security.tls.dtls import dtls_client_context, dtls_server_context
from security.tls.in_force import TlsContexts
from security.tls.material import TLS12_CIPHERS, check_files, files_signature
from security.tls.peers import (
    VerifyWatcher,
    alert_of,
    peer_certificates,
    pin_of_peer,
    refusal_of,
    refusal_of_code,
)
from security.tls.rpc import grpc_channel_credentials, grpc_peer_identity, grpc_server_credentials

__all__ = [
    "TLS12_CIPHERS",
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
    "https_context",
    "peer_certificates",
    "pin_of_peer",
    "pinned_context",
    "refusal_of",
    "refusal_of_code",
    "server_context",
    "told_context",
]
