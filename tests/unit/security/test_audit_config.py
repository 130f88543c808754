"""``[audit]``: what can be configured, and what can't."""

import pytest

from gateway import tomlfile
from gateway.domain.errors import ConfigError
from security.audit import AuditConfig

SYSLOG = {"address": "logs.ward:6514", "zone": "campus"}


def read(tmp_path, **changes):
    return tomlfile.convert(changes, AuditConfig, base=tmp_path, where="gateway.toml")


def test_what_is_said_is_read(tmp_path):
    config = read(tmp_path, keep_days=200, syslog={**SYSLOG, "trust": "logs.pem"})
    assert config.keep_days == 200
    assert config.syslog is not None
    assert config.syslog.trust == tmp_path / "logs.pem"
    assert config.syslog.host_and_port == ("logs.ward", 6514)


@pytest.mark.parametrize("zone", ["group", "partner", "public"])
def test_a_collector_outside_the_campus_is_refused(tmp_path, zone):
    with pytest.raises(ConfigError, match="outside the campus"):
        read(tmp_path, syslog={**SYSLOG, "zone": zone})


@pytest.mark.parametrize(
    "changes",
    [
        {"keep_days": 182},
        {"bytes_max": 1000},
        {"file_bytes_max": 100},
        {"files_max": 64},
        {"syslog": {"address": "logs.ward:6514"}},
        {"syslog": {**SYSLOG, "address": "logs.ward"}},
        {"syslog": {**SYSLOG, "cert": "cert.pem"}},
        {"syslog": {**SYSLOG, "zone": "moon"}},
        {"syslog": {**SYSLOG, "tls": False}},
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, changes):
    with pytest.raises(ConfigError):
        read(tmp_path, **changes)
