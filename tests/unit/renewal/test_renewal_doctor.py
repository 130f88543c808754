"""What ``wardgate doctor`` says of the certificate's end and renewal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import doctor
from gateway.config import GatewayConfig, GatewayTable, PolicyTable, TlsTable
from security import pki
from security.files import TlsFiles
from security.identity import IdentityConfig
from security.names import Role
from security.pki import Subject, Validity
from security.renewal import Life, RenewalTable
from security.slots import Slots

NOW = datetime.now(UTC)
EST = RenewalTable(est="https://fleet:8443")


def finding(directory: Path, table: RenewalTable, began: float, days: float, *, slots: bool):
    """Of a gateway whose certificate began so many days ago."""
    begin = NOW - timedelta(days=began)
    authority = pki.create_issuing(pki.create_root("ward.example", begin), begin)
    key = pki.new_key()
    issued = pki.issue(
        authority, Subject(Role.GATEWAY, "gw-1"), key.public_key(), Validity.days(begin, days)
    )
    if slots:
        files = Slots(directory / "gw").create(key, issued.chain_pem, issued.trust_pem)
    else:
        files = pki.write_identity(directory / "gw", issued, key)
    config = GatewayConfig(
        gateway=GatewayTable("gw-1", directory, directory / "seal"),
        tls=TlsTable(*files),
        identity=IdentityConfig("ward.example"),
        policy=PolicyTable(directory / "policy"),
        drivers={},
        renewal=table,
    )
    assert isinstance(files, TlsFiles)
    return doctor._renewal(config), Life.of(issued.certificate)


def test_when_it_is_due(tmp_path):
    found, life = finding(tmp_path, EST, 1, 90, slots=True)
    assert found.well
    due = datetime.fromtimestamp(life.due, UTC)
    assert found.detail == f"certificate ends in 89 days, due {due:%F %H:%M}Z"


def test_overdue_is_a_finding(tmp_path):
    found, _ = finding(tmp_path, EST, 80, 90, slots=True)
    assert not found.well
    assert "has been due since" in found.detail


@pytest.mark.parametrize(
    ("table", "slots", "why"),
    [(RenewalTable(), True, "renewal.est is not set"), (EST, False, "not in two slots")],
)
def test_why_it_is_not_renewed(tmp_path, table, slots, why):
    found, _ = finding(tmp_path, table, 1, 90, slots=slots)
    assert found.well
    assert why in found.detail
    late, _ = finding(tmp_path / "late", table, 80, 90, slots=slots)
    assert not late.well
