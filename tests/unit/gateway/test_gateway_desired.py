"""What the fleet wants over the file: what it can set, how it is laid over, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import desired
from gateway.config import GatewayConfig, read
from gateway.control import first_in_force
from gateway.desired import NOTHING, Desired
from gateway.domain.errors import ConfigError
from gateway.pipeline.config import Limits
from tests.unit.gateway.test_gateway_changes import BASE

HR, RR = "MDC_ECG_HEART_RATE", "MDC_RESP_RATE"
OWN = f"""
[pipeline.limits.{HR}]
high = 120
low = 50
[pipeline.limits.{RR}]
high = 30
[pipeline.silence]
intervals = 5.0
[[drivers.intellivue.monitors]]
device_id = "icu-31"
port = "/dev/ttyS0"
"""


def effective(folder: Path, document: str, own: str = OWN) -> GatewayConfig:
    path = folder / "gateway.toml"
    path.write_text(BASE + own)
    return desired.effective(read(path), Desired(7, document.encode()))


def test_an_empty_wish_is_the_file_alone(tmp_path):
    for document in ("", "\n", "# nothing\n"):
        assert effective(tmp_path, document) == desired.effective(
            read(tmp_path / "gateway.toml"), NOTHING
        )


def test_what_is_named_is_replaced_and_the_rest_stays(tmp_path):
    found = effective(
        tmp_path,
        f"[pipeline.limits.{HR}]\nhigh = 100\n[pipeline.silence]\nseconds_min = 20\n"
        "[pipeline.kinds.pump]\ninterval_s = 5\n",
    ).pipeline
    assert found.limits == {HR: Limits(high=100), RR: Limits(high=30)}  # a unit: no low any more
    assert (found.silence.seconds_min, found.silence.intervals) == (20.0, 5.0)
    assert found.kinds["pump"].interval_s == 5.0
    assert found.kinds["vitals"].interval_s == 1.0


def test_defaults_that_the_file_does_not_name_stay_too(tmp_path):
    found = effective(tmp_path, f"[pipeline.limits.{HR}]\n", own="").pipeline
    assert found.limits[HR] == Limits()
    assert found.limits["MDC_PULS_OXIM_SAT_O2"].critical_low == 85


def test_a_driver_gets_the_settings_that_it_offers(tmp_path):
    found = effective(
        tmp_path,
        '[[drivers.intellivue.monitors]]\ndevice_id = "icu-32"\nport = "/dev/ttyS0"\n',
    ).drivers
    assert found["intellivue"] == {"monitors": [{"device_id": "icu-32", "port": "/dev/ttyS0"}]}
    assert found["mqtt"] == {"listen": ["127.0.0.1:1"]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("no toml", "not TOML"),
        ("[gateway]\nname = 'x'", r"configuration 7.gateway: the fleet can't set this"),
        ("[[destinations]]\nname = 'x'", "destinations: the fleet can't set this"),
        ("[policy]\nfile = 'x'", "policy: the fleet can't set this"),
        ("pipeline = 3", "pipeline: not a table"),
        ("drivers = 3", "drivers: not a table"),
        ("[pipeline]\ndevices_max = 3", "pipeline.devices_max: the fleet can't set this"),
        ("[pipeline.duplicates]\nwindow = 8", "duplicates: the fleet can't set this"),
        ("[pipeline]\nnonsense = 3", "nonsense"),
        (f"[pipeline.limits.{HR}]\nhigh = 'x'", "over .*gateway.toml"),
        (f"[pipeline.limits.{HR}]\nhigh = 1\nlow = 2", "critical_low <= low"),
        ("[drivers.new]\nlisten = []", "drivers.new: the fleet can't set this"),
        ("[drivers.mqtt]\nlisten = ['0.0.0.0:1']", "can set: nothing"),
        ("[drivers.mqtt]\ndriver = 'coap'", "drivers.mqtt.driver: the fleet can't"),
        ("drivers.intellivue = 3", "not a table"),
        ("#" * (desired.DOCUMENT_BYTES_MAX + 1), "longer than"),
    ],
)
def test_what_it_cannot_set_is_refused_by_name(tmp_path, document, words):
    with pytest.raises(ConfigError, match=words):
        effective(tmp_path, document)


def test_a_start_has_the_last_word_of_the_fleet(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "gateway.toml").write_text(BASE + OWN)
    wanted = Desired(7, f"[pipeline.limits.{HR}]\nhigh = 100\n".encode())
    desired.save(tmp_path / "state", wanted)
    assert desired.load(tmp_path / "state") == wanted
    in_force, refused = first_in_force(read(tmp_path / "gateway.toml"))
    assert refused is None
    assert in_force.desired == wanted
    assert in_force.config.pipeline.limits[HR] == Limits(high=100)


def test_a_start_goes_on_without_a_wish_that_no_longer_fits(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "gateway.toml").write_text(BASE + OWN)
    desired.save(tmp_path / "state", Desired(7, b"[drivers.gone]\nsize = 3\n"))
    in_force, refused = first_in_force(read(tmp_path / "gateway.toml"))
    assert in_force.desired == NOTHING
    assert refused is not None
    assert refused.version == 7
    assert "drivers.gone" in refused.reason


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version":"x"}', b"\xff"])
def test_a_damaged_file_counts_as_none(tmp_path, content):
    (tmp_path / desired.FILE).write_bytes(content)
    assert desired.load(tmp_path) == NOTHING
