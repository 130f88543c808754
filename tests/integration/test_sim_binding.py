"""What a mobile network must know a device by: said by an operator, told to gateways, not shown."""

from __future__ import annotations

import json

import pytest

from gateway.domain.network import Binding
from tests.integration.fleet_process import Fleet
from tests.integration.test_fleet import Gateway

SIM, NUMBER, MODEM = "imsi-001010000000001", "msisdn-8613800000001", "490154203237518"
WORDS = (
    *("--supi", SIM, "--gpsi", "+8613800000001", "--imei", MODEM),
    *("--dnn", "MED.mnc001.mcc001.gprs", "--snssai", "1-00000A", "--tac", "0001", "--tac", "00a2"),
)
TAKEN = ("imsi-001010000000002", "msisdn-8613800000002", "353456789012348")
"""What another device is bound to."""
BOUND = Binding(SIM, NUMBER, MODEM, "med", "1-00000a", ("000001", "0000a2"))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("sims"))
    made.start()
    yield made
    made.close()


async def test_it_is_bound_shown_told_and_changed(fleet, tmp_path):
    fleet.command("device", "add", "pump-1", "--transport", "mqtt", *WORDS)
    fleet.command("device", "add", "pump-2", "--transport", "mqtt")
    shown = fleet.command("device", "show", "pump-1").stdout
    for word in (SIM, NUMBER, MODEM, "med", "1-00000a", "000001 0000a2"):
        assert word in shown
    assert "supi" not in fleet.command("device", "show", "pump-2").stdout
    listed = fleet.command("device", "list", "--json").stdout
    assert "pump-1" in listed
    assert SIM not in listed
    async with Gateway(fleet, "gw-sim", tmp_path / "gw") as gateway:
        await gateway.until(lambda: gateway.identity.device("pump-1"))
        assert gateway.identity.device("pump-1").network == BOUND
        assert not gateway.identity.device("pump-2").network
        fleet.command("device", "update", "pump-1", "--tac", "", "--snssai", "1")
        now = Binding(SIM, NUMBER, MODEM, "med", "1")
        await gateway.until(lambda: gateway.identity.device("pump-1").network == now)
    # A start without the fleet has its last word.
    again = Gateway(fleet, "gw-sim", tmp_path / "gw")
    again.load()
    assert getattr(again.identity.device("pump-1"), "network", None) == now
    again.audit.close()
    fleet.stop()
    fleet.start()
    assert "msisdn-8613800000001" in fleet.command("device", "show", "pump-1").stdout
    audited = (fleet.directory / "state" / "audit" / "audit.log").read_text()
    assert '"changed":"snssai tacs"' in audited
    for secret in (SIM, NUMBER, MODEM):
        assert secret not in audited


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--supi", TAKEN[0]), "SUPI"),
        (("--gpsi", TAKEN[1]), "GPSI"),
        (("--imei", TAKEN[2][:14] + "00"), "IMEI"),
        (("--imei", "490154203237519"), "check digit"),
        (("--supi", "imsi-12"), "supi"),
        (("--dnn", "no_name"), "dnn"),
    ],
)
def test_what_is_taken_or_none_is_refused_in_one_line(fleet, words, why):
    bound = zip(("--supi", "--gpsi", "--imei"), TAKEN, strict=True)
    for name, binding in (("first", [word for pair in bound for word in pair]), ("second", [])):
        fleet.command("device", "add", name, "--transport", "serial", *binding, check=False)
    for command in (("add", "pump-9"), ("update", "second")):
        done = fleet.command("device", *command, *words, check=False)
        assert done.returncode == 2
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not any(word in done.stderr for word in words[1:])
    assert "pump-9" not in fleet.command("device", "list").stdout


def test_a_table_binds_many(fleet, tmp_path):
    table = tmp_path / "devices.csv"
    table.write_text(
        "id;transport;supi;imei;dnn;snssai;tac\n"
        "serial-1;serial;001010000000101;356938035643809;med;1;0001 0002\n"
        "serial-2;serial;001010000000101;;;;\n"
        "serial-3;serial;;;;;\n"
        "serial-4;serial;1;;;;\n"
    )
    done = fleet.command("device", "provision", str(table), "--parallel", "1", check=False)
    assert done.returncode == 1
    assert "line 3: serial-2: another device has this SUPI" in done.stderr
    assert "line 5: serial-4: supi" in done.stderr
    shown = json.loads(fleet.command("device", "show", "serial-1", "--json").stdout)
    assert shown["network"] == {
        "supi": "imsi-001010000000101",
        "imei": "356938035643809",
        "dnn": "med",
        "snssai": "1",
        "tacs": ["000001", "000002"],
    }
