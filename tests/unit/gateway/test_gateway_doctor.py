"""What `wardgate doctor` says of broken set-ups, and that a start refuses what it must."""

from __future__ import annotations

import base64
import fcntl
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway import desired
from gateway.daemon import Gateway
from gateway.desired import Desired
from gateway.doctor import examine
from gateway.domain.errors import ConfigError
from gateway.preflight import check
from tests.ward_pki import TRUST_DOMAIN, WardPki

CONFIG = """
[gateway]
name = "gw-1"
state_dir = "state"
seal_keys = "seal.keys"
[tls]
cert = "{tls.cert}"
key = "{tls.key}"
trust = "{trust}"
[identity]
trust_domain = "{domain}"
[policy]
file = "policy.signed"
[journal]
limit_bytes = {limit}
alarm_reserve_bytes = 1048576
[metrics]
port = {metrics}
[drivers.mqtt]
listen = ["127.0.0.1:{mqtt}"]
[drivers.coap]
listen = ["127.0.0.1:{coap}"]
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "ward"
address = "127.0.0.1:{nobody}"
"""
POLICY = (
    '@id("a") permit (principal, action == Action::"pass", resource) when { resource.level < 2 };'
)

NETWORKS = """
[mec]
platform = "etsi"
app_instance = "instance-1"
app_support = "https://127.0.0.1:1/mec_app_support/v1"
location = "https://127.0.0.1:1/location/v2"
trust = "theirs.pem"
callback = {{ listen = "127.0.0.1:{callback}", url = "https://gw-1.campus:7448" }}
breakout = {{ rules = ["local-breakout"], campus = ["10.0.0.0/8"] }}
token = {{ endpoint = "https://127.0.0.1:1/token", client_id = "wardgate", secret = "mec.secret" }}
[[fence.zones]]
zone = "zone-icu"
[network_apis]
provider = "camara"
location_verification = "https://127.0.0.1:2/location-verification/v3"
area = {{ latitude = 31.23, longitude = 121.47 }}
"""


class Box:
    """An edge box whose parts a test breaks."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.pki = WardPki(directory / "pki")
        self.options = {
            "tls": self.pki.gateway.files,
            "trust": self.pki.gateway.files.trust,
            "domain": TRUST_DOMAIN,
            "limit": 16 << 20,
            "metrics": 0,
            "mqtt": 0,
            "coap": 0,
            "nobody": 1,
        }
        keys = directory / "seal.keys"
        keys.touch(mode=0o600)
        keys.write_text(f"1 {base64.b64encode(bytes(range(32))).decode()}\n")
        (directory / "policy.signed").write_bytes(self.pki.policy(POLICY))

    def configured(self, extra: str = "", **options: object) -> Path:
        path = self.directory / "gateway.toml"
        path.write_text(CONFIG.format(**self.options | options) + extra)
        return path

    def wrong(self, extra: str = "", **options: object) -> dict[str, str]:
        """What the doctor finds wrong; the machine's clock and certificates of a day are not."""
        return {
            each.what: each.detail
            for each in examine(self.configured(extra, **options))
            if not each.well and each.what not in {"clock", "renewal"}
        }


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


def test_a_good_box_has_only_a_core_that_is_away(box):
    assert list(box.wrong()) == ["reach core"]


def test_what_the_fleet_wants_is_checked_with_the_file(box):
    state = box.directory / "state"
    state.mkdir()
    desired.save(state, Desired(3, b"[pipeline.silence]\nintervals = 5\n"))
    found = {each.what: each for each in check(box.configured())}
    assert found["fleet wants"] == ("fleet wants", True, "configuration 3 over the file")
    desired.save(state, Desired(4, b"[drivers.gone]\nsize = 5\n"))
    assert "configuration 4: drivers.gone" in box.wrong()["fleet wants"]


def test_each_port_that_is_taken_is_named(box):
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("127.0.0.1", 0))
        mqtt, coap = tcp.getsockname()[1], udp.getsockname()[1]
        wrong = box.wrong(mqtt=mqtt, coap=coap, metrics=mqtt)
    assert wrong["listen mqtt"] == f"127.0.0.1 port {mqtt}: Address already in use"
    assert wrong["listen coap"] == f"127.0.0.1 port {coap}: Address already in use"
    assert "listen metrics" in wrong


def test_while_the_gateway_runs_its_ports_are_its_own(box):
    path = box.directory / "state" / "journal"
    path.mkdir(parents=True)
    with (path / "lock").open("w") as lock, socket.create_server(("127.0.0.1", 0)) as tcp:
        fcntl.flock(lock, fcntl.LOCK_EX)
        findings = examine(box.configured(mqtt=tcp.getsockname()[1]))
    assert findings[0].detail == "gw-1, runs"
    assert not any(each.what.startswith("listen") for each in findings)


def test_a_policy_that_is_refused_hides_nothing_else(box):
    (box.directory / "policy.signed").write_text("permit (")
    wrong = box.wrong()
    assert set(wrong) == {"policy", "reach core"}
    assert str(box.directory / "policy.signed") in wrong["policy"]
    wide = POLICY.replace("resource.level < 2", "true")
    (box.directory / "policy.signed").write_bytes(box.pki.policy(wide))
    assert "identifying-stays-on-campus is broken" in box.wrong()["policy"]
    (box.directory / "policy.signed").unlink()
    assert "No such file or directory" in box.wrong()["policy"]


def test_a_trust_file_of_another_authority_is_told(box):
    other = WardPki(box.directory / "other").gateway.files.trust
    assert "unable to get local issuer certificate" in box.wrong(trust=other)["chain"]


def test_what_a_platform_and_an_operators_network_are_called_with_is_looked_at(box):
    secret, trust = box.directory / "mec.secret", box.directory / "theirs.pem"
    tables = NETWORKS.format(callback=0)
    with pytest.raises(ConfigError, match=r"mec\.token\.secret: .*mec.secret: can't read"):
        check(box.configured(tables))
    secret.touch(mode=0o600)
    assert "mec.token.secret" in box.wrong(tables)["configuration"]
    secret.write_text("hidden")
    with pytest.raises(ConfigError, match=r"mec\.trust: "):
        check(box.configured(tables))
    trust.write_text("no certificate")
    assert "mec.trust" in box.wrong(tables)["configuration"]
    trust.write_bytes(box.pki.gateway.files.trust.read_bytes())
    found = {each.what: each.detail for each in check(box.configured(tables))}
    assert found["platform"] == "127.0.0.1:1; nothing leaves unless local-breakout is in force"
    assert found["fence"] == "zones: 1, areas: 0, classes: 0, roaming: stay"
    assert found["operator's network"] == "127.0.0.1:2"
    assert {"reach 127.0.0.1:1", "reach 127.0.0.1:2"} <= box.wrong(tables).keys()
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        wrong = box.wrong(NETWORKS.format(callback=port))
    assert wrong["listen callback"] == f"127.0.0.1 port {port}: Address already in use"


def test_bandwidth_for_a_destination_that_is_not_there_is_refused(box):
    bandwidth = """bandwidth_mgmt = "https://127.0.0.1:1/bwm/v1"
bandwidth = {{ bits_per_s = 1000, destination = "{}" }}
callback"""
    text = NETWORKS.format(callback=0)
    with pytest.raises(ConfigError, match=r"mec\.bandwidth\.destination: .* no destination cor"):
        check(box.configured(text.replace("callback", bandwidth.format("cor"), 1)))


def test_a_disk_that_is_too_small_is_told(box):
    assert "disk" in box.wrong(limit=1 << 60)


def test_a_key_that_others_can_read_is_told(box):
    (box.directory / "seal.keys").chmod(0o644)
    assert "run chmod 600" in box.wrong()["configuration"]


def test_a_gateway_does_not_start_under_another_name(box):
    other = box.pki.device("monitor-1").files
    path = box.configured(tls=other)
    with pytest.raises(ConfigError, match="is the certificate of device monitor-1"):
        Gateway(path)


def test_a_taken_port_ends_the_start_in_one_line(box):
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        run = subprocess.run(
            [sys.executable, "-m", "wardgate", "gateway", "run", "-c", box.configured(mqtt=port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == (
        f"wardgate: 127.0.0.1 port {port}: Address already in use"
    )
    assert "Traceback" not in run.stderr
