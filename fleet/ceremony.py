"""The root: made once, kept off every host, used by two officers together.

A root's directory has ``ca.pem`` and ``ca.key`` (or where on a token it is), ``officers.pem``,
``root.json`` (what it has signed and revoked, which requests were used), ``issued/`` and an audit
log of its own. Nothing here talks to a network: requests and answers are files.

The very first issuing CA of a root needs no officers, since operators are certified below it;
after that, nothing is signed before ``officers.pem`` is there. The first officers are named while
the root is still on the table; from then on two of them approve who is one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError, RefusedError
from gateway.domain.ports import Clock
from security import pki
from security.audit import AuditLog, load_or_create_key
from security.files import write_atomic
from security.pki import approvals, crl
from security.pki.approvals import Request, Signed

STATE_FILE = "root.json"
OFFICERS_FILE = "officers.pem"
CRL_DAYS = 180
"""A root's list says little and is made by hand."""


class RootState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``root.json``."""

    issued: int = 0
    crl_number: int = 0
    revoked: dict[str, int] = {}
    """Serial number in hexadecimal -> when, in microseconds."""
    used: tuple[str, ...] = ()
    """Ids of requests, none of which is signed twice."""


class Answer(msgspec.Struct, frozen=True):
    """What the root has signed."""

    content: bytes
    said: str


def create(directory: Path, trust_domain: str, days: float, key_uri: str, clock: Clock) -> str:
    """Make a root; returns its fingerprint.

    Raises:
        ConfigError: there is one already, or the trust domain can't be one.
    """
    if (directory / "ca.pem").exists():
        raise ConfigError(f"{directory} holds an authority already")
    try:
        root = pki.create_root(trust_domain, pki.moment(clock.now_us()), days, pki.new_key(key_uri))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    pki.save_authority(root, directory)
    mark = approvals.fingerprint(root.certificate)
    with auditing(directory, clock) as audit:
        audit.record("root_made", trust_domain=trust_domain, sha256=mark)
    return mark


def new_request(root: x509.Certificate, clock: Clock, wait_days: float, **what: object) -> Signed:
    """A request to a root, without approvals.

    Raises:
        ConfigError: what is asked for can't be.
    """
    now_us = clock.now_us()
    fields = {
        "root": approvals.fingerprint(root),
        "made_us": now_us,
        "expires_us": now_us + round(min(wait_days, approvals.DAYS_MAX) * 86400e6),
        "nonce": secrets.token_hex(16),
        **what,
    }
    try:
        request = msgspec.convert(fields, Request)
        # As every reader will see it, since its bytes are what is signed.
        return approvals.decode(approvals.encode(Signed(request)))
    except msgspec.ValidationError as error:
        raise ConfigError(f"the request: {error}") from error


def name_officers(directory: Path, certificates: Sequence[x509.Certificate], clock: Clock) -> str:
    """Name the first officers of a root; returns their names.

    Raises:
        ConfigError: there are officers already.
        RefusedError: these can't be.
    """
    path = directory / OFFICERS_FILE
    if path.exists():
        raise ConfigError(f"{path} exists: two officers approve who is one (`ca request officers`)")
    root = pki.load_authority(directory)
    now = pki.moment(clock.now_us())
    named = approvals.require_officers(certificates, root.trust_domain, now)
    names = " ".join(each.name for each in named)
    with auditing(directory, clock) as audit:
        write_atomic(path, pki.to_pem(*certificates))
        audit.record("officers_named", officers=names)
    return names


def sign(directory: Path, signed: Signed, clock: Clock) -> Answer:
    """Do what a request asks, once; the only use of a root's key after it was made.

    Raises:
        ConfigError: the root's directory can't be used, or the request was used before.
        RefusedError: it lacks approvals, see :func:`security.pki.approvals.check`.
        MalformedError: its CSR is none.
    """
    root, state = pki.load_authority(directory), _read(directory)
    request, now = signed.request, pki.moment(clock.now_us())
    with auditing(directory, clock) as audit:
        try:
            names = _approved(directory, signed, root, state, clock)
        except RefusedError as error:
            audit.record("root_refused", request=request.id, kind=request.kind, why=str(error))
            raise
        # Noted first: what is signed and then lost is asked for again, by another request.
        state = msgspec.structs.replace(state, used=(*state.used, request.id))
        _write(directory, state)
        try:
            state, answer = _DO[request.kind](directory, root, state, request, now)
        except ValueError as error:
            raise ConfigError(str(error)) from error
        _write(directory, state)
        audit.record(
            "root_signed", request=request.id, kind=request.kind, by=names, what=answer.said
        )
    return answer


@contextmanager
def auditing(directory: Path, clock: Clock) -> Iterator[AuditLog]:
    """The audit log of an authority's directory; one command at a time."""
    key = load_or_create_key(directory / "audit.key")
    log = AuditLog(directory / "audit", key, clock, name="authority")
    try:
        yield log
    finally:
        log.close()


def _approved(
    directory: Path, signed: Signed, root: pki.Authority, state: RootState, clock: Clock
) -> str:
    if signed.request.id in state.used:
        raise ConfigError("this request was used already; make another")
    path = directory / OFFICERS_FILE
    first = signed.request.kind == "issuing" and not state.issued
    if not path.exists():
        if first and signed.request.root == approvals.fingerprint(root.certificate):
            return "the ceremony"
        raise ConfigError(f"{path} is missing: name the officers (`ca officers`)")
    now = pki.moment(clock.now_us())
    officers = pki.load_certificates(path)
    found = approvals.check(signed, root.certificate, root.trust_domain, officers, now)
    return " ".join(each.name for each in found)


def _issuing(
    directory: Path, root: pki.Authority, state: RootState, request: Request, now: datetime
) -> tuple[RootState, Answer]:
    key = pki.read_csr(request.csr.encode())
    scope = pki.Scope(request.trust_domain or root.trust_domain, request.dns)
    validity = pki.Validity.days(now, min(request.days or pki.ISSUING_DAYS, pki.ISSUING_DAYS))
    certificate = pki.certify_issuing(root, scope, key, validity)
    _keep(directory, certificate)
    state = msgspec.structs.replace(state, issued=state.issued + 1)
    said = f"issuing CA {pki.authority_id(certificate)} for {scope.trust_domain}"
    return state, Answer(pki.to_pem(certificate, root.certificate), said)


def _cross(
    directory: Path, root: pki.Authority, state: RootState, request: Request, _now: datetime
) -> tuple[RootState, Answer]:
    other = x509.load_pem_x509_certificate(request.certificates.encode())
    certificate = pki.cross_certify(root, other)
    _keep(directory, certificate)
    return state, Answer(
        pki.to_pem(certificate), f"cross certificate for root {pki.authority_id(other)}"
    )


def _crl(
    _directory: Path, root: pki.Authority, state: RootState, request: Request, now: datetime
) -> tuple[RootState, Answer]:
    at = round(now.timestamp() * 1e6)
    revoked = {**{f"{int(each, 16):X}": at for each in request.serials}, **state.revoked}
    number = state.crl_number + 1
    listed = [
        crl.Revoked(int(serial, 16), pki.moment(when), crl.Reason.SUPERSEDED)
        for serial, when in sorted(revoked.items())
    ]
    content = crl.build(root, number, listed, now, now + timedelta(days=CRL_DAYS))
    state = msgspec.structs.replace(state, crl_number=number, revoked=revoked)
    return state, Answer(content, f"revocation list {number} with {len(listed)} entries")


def _officers(
    directory: Path, root: pki.Authority, state: RootState, request: Request, now: datetime
) -> tuple[RootState, Answer]:
    certificates = x509.load_pem_x509_certificates(request.certificates.encode())
    named = approvals.require_officers(certificates, root.trust_domain, now)
    content = pki.to_pem(*certificates)
    write_atomic(directory / OFFICERS_FILE, content)
    return state, Answer(content, "officers " + " ".join(each.name for each in named))


_DO = {"issuing": _issuing, "cross": _cross, "crl": _crl, "officers": _officers}


def _keep(directory: Path, certificate: x509.Certificate) -> None:
    (directory / "issued").mkdir(mode=0o700, exist_ok=True)
    path = directory / "issued" / f"{certificate.serial_number:X}.pem"
    write_atomic(path, pki.to_pem(certificate))


def _read(directory: Path) -> RootState:
    path = directory / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RootState)
    except FileNotFoundError:
        return RootState()
    except (OSError, *UNDECODABLE) as error:
        raise ConfigError(f"{path}: {error}") from error


def _write(directory: Path, state: RootState) -> None:
    write_atomic(directory / STATE_FILE, msgspec.json.encode(state))
