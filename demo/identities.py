"""The demo's certificates: a root, an issuing CA, and everybody who takes part or tries to.

Besides those who belong there are those who must fail: ``stranger`` (another root's device),
``revoked`` (enrolled, then revoked) and ``expired`` (its certificate has ended).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from demo.plan import CORE, GATEWAY, TRUST_DOMAIN, VENDOR, Plan
from security.files import TlsFiles
from security.pki import (
    Authority,
    Issued,
    Role,
    Subject,
    Validity,
    create_issuing,
    create_root,
    make_identity,
    save_authority,
)

LOCAL = ("localhost", "127.0.0.1", "::1")
SPARE = "spare-1"
REVOKED = "revoked-1"
EXPIRED = "expired-1"
STRANGER = "stranger-1"
LEAF_DAYS = 30


class Identities(NamedTuple):
    """Where each identity lies."""

    gateway: TlsFiles
    core: TlsFiles
    vendor: TlsFiles
    fleet: TlsFiles
    operator: TlsFiles
    devices: dict[str, TlsFiles]
    """By device id, the spare and the revoked one among them."""
    serials: dict[str, int]
    stranger: TlsFiles
    expired: TlsFiles
    issuing: Path


def create(plan: Plan, device_ids: Sequence[str]) -> Identities:
    """Make the PKI below ``plan.pki``."""
    now = datetime.now(UTC)
    root = create_root(TRUST_DOMAIN, now)
    issuing = create_issuing(root, now)
    save_authority(root, plan.pki / "offline-root")
    save_authority(issuing, plan.pki / "issuing")
    other_root = create_root(TRUST_DOMAIN, now)
    other = create_issuing(other_root, now)

    def make(
        subject: Subject, name: str, *, authority: Authority = issuing, days: float = LEAF_DAYS
    ) -> tuple[TlsFiles, Issued]:
        return make_identity(authority, subject, plan.pki / name, Validity.days(now, days))

    def service(name: str) -> TlsFiles:
        return make(Subject(Role.SERVICE, name, LOCAL), name)[0]

    devices: dict[str, TlsFiles] = {}
    serials: dict[str, int] = {}
    for device_id in (*device_ids, SPARE, REVOKED):
        files, issued = make(Subject(Role.DEVICE, device_id), f"devices/{device_id}")
        devices[device_id] = files
        serials[device_id] = issued.serial
    stranger = make(Subject(Role.DEVICE, STRANGER), "stranger", authority=other)[0]
    # A stranger that trusts the demo's servers, so that it is the gateway that refuses.
    stranger.trust.write_bytes(devices[SPARE].trust.read_bytes())
    return Identities(
        gateway=make(Subject(Role.GATEWAY, GATEWAY, LOCAL), "gateway")[0],
        core=service(CORE),
        vendor=service(VENDOR),
        fleet=service("fleet"),
        operator=make(Subject(Role.OPERATOR, "demo-operator"), "operator")[0],
        devices=devices,
        serials=serials,
        stranger=stranger,
        expired=make(Subject(Role.DEVICE, EXPIRED), "expired", days=-1)[0],
        issuing=plan.pki / "issuing",
    )
