"""Certificates: a root, issuing CAs below it, and one profile per role.

Rules:

* All keys are ECDSA on P-256 (:mod:`security.pki.keys`); all serials are random.
* The root signs issuing CAs only, an issuing CA leaves only (:mod:`security.pki.authority`).
* What a leaf may do follows from its role's profile alone (:mod:`security.pki.profiles`,
  :mod:`security.pki.leaf`); of a request only the public key is used
  (:mod:`security.pki.csr`).
* Revocation is told to ours by :mod:`security.revocations`, to others by
  :mod:`security.pki.crl` and :mod:`security.pki.ocsp`.
* How one authority follows another says :mod:`security.pki.hierarchy`.
* Nothing here reads the clock or keeps state; a certificate's times are arguments.
"""

from security.names import Identity, Role, parse_identity
from security.pki.authority import (
    ISSUING_DAYS,
    ROOT_DAYS,
    Authority,
    Pointers,
    authority_id,
    certify_issuing,
    create_issuing,
    create_root,
    cross_certify,
    key_id,
    load_authority,
    save_authority,
)
from security.pki.certificates import (
    BACKDATE,
    Validity,
    hosts_of,
    load_certificates,
    moment,
    to_pem,
    trust_domain_of,
)
from security.pki.csr import CSR_BYTES_MAX, create_csr, read_csr
from security.pki.hierarchy import Hierarchy
from security.pki.keys import PublicKey, SigningKey, key_pem, load_key, new_key, read_key, save_key
from security.pki.leaf import Issued, Subject, issue, issue_responder, make_identity, write_identity
from security.pki.profiles import LEAF_DAYS, PROFILES, RESPONDER, Profile
from security.pki.scope import Scope
from security.pki.token import TokenError
from security.pki.token_uri import TokenUri

__all__ = [
    "BACKDATE",
    "CSR_BYTES_MAX",
    "ISSUING_DAYS",
    "LEAF_DAYS",
    "PROFILES",
    "RESPONDER",
    "ROOT_DAYS",
    "Authority",
    "Hierarchy",
    "Identity",
    "Issued",
    "Pointers",
    "Profile",
    "PublicKey",
    "Role",
    "Scope",
    "SigningKey",
    "Subject",
    "TokenError",
    "TokenUri",
    "Validity",
    "authority_id",
    "certify_issuing",
    "create_csr",
    "create_issuing",
    "create_root",
    "cross_certify",
    "hosts_of",
    "issue",
    "issue_responder",
    "key_id",
    "key_pem",
    "load_authority",
    "load_certificates",
    "load_key",
    "make_identity",
    "moment",
    "new_key",
    "parse_identity",
    "read_csr",
    "read_key",
    "save_authority",
    "save_key",
    "to_pem",
    "trust_domain_of",
    "write_identity",
]
