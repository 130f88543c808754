"""Certificates: a root, issuing CAs below it, and one profile per role.

Rules:

* All keys are ECDSA on P-256 (:mod:`security.pki.keys`); all serials are random.
* The root signs issuing CAs only, an issuing CA leaves only (:mod:`security.pki.authority`).
* What a leaf may do follows from its role's profile alone (:mod:`security.pki.profiles`,
  :mod:`security.pki.leaf`); of a request only the public key is used
  (:mod:`security.pki.csr`).
* Nothing here reads the clock or keeps state; a certificate's times are arguments.
"""

from security.names import Identity, Role, parse_identity
from security.pki.authority import (
    ISSUING_DAYS,
    ROOT_DAYS,
    Authority,
    create_issuing,
    create_root,
    load_authority,
    save_authority,
)
from security.pki.certificates import BACKDATE, Validity, load_certificates, moment, to_pem
from security.pki.csr import CSR_BYTES_MAX, create_csr, read_csr
from security.pki.keys import PublicKey, SigningKey, key_pem, load_key, new_key
from security.pki.leaf import Issued, Subject, issue, make_identity, write_identity
from security.pki.profiles import LEAF_DAYS, PROFILES, Profile

__all__ = [
    "BACKDATE",
    "CSR_BYTES_MAX",
    "ISSUING_DAYS",
    "LEAF_DAYS",
    "PROFILES",
    "ROOT_DAYS",
    "Authority",
    "Identity",
    "Issued",
    "Profile",
    "PublicKey",
    "Role",
    "SigningKey",
    "Subject",
    "Validity",
    "create_csr",
    "create_issuing",
    "create_root",
    "issue",
    "key_pem",
    "load_authority",
    "load_certificates",
    "load_key",
    "make_identity",
    "moment",
    "new_key",
    "parse_identity",
    "read_csr",
    "save_authority",
    "to_pem",
    "write_identity",
]
