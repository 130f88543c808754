"""What a configuration and a policy open, and that nft and systemd say the same."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.domain.errors import ConfigError
from gateway.packetfilter import nft, openings, ruleset, systemd
from tests.unit.packetfilter.network import apart, needs_root
from tests.unit.packetfilter.site import CAMPUS, POLICY, compiled, opening, write


def rules(made, chain="gateway"):
    body = made.script.split(f"chain {chain} {{")[1].split("\t}")[0]
    return [line.strip() for line in body.splitlines() if line.strip()]


def test_only_to_whom_something_is_released_a_hole_is_opened(tmp_path):
    made = compiled(write(tmp_path))
    assert opening(made, "to-core").released
    assert not opening(made, "to-vendor-x").released
    core = "ip daddr { 10.2.0.5/32 } tcp dport 7443 counter name to-core accept"
    vendor = "ip daddr { 198.51.100.0/24 } tcp dport 443 counter name closed-vendor-x drop"
    assert {core, vendor} <= set(rules(made))
    assert not made.fault
    # A name to which nothing is released needs no resolver.
    assert made.openings.names == ()
    assert "dns" not in made.script


def test_released_to_a_name_its_networks_and_the_resolvers_are_open(tmp_path):
    made = compiled(write(tmp_path, POLICY.rstrip() + ";\n"))
    assert made.openings.names == ("telemetry.vendor.example",)
    assert opening(made, "to-vendor-x").released
    assert "ip daddr { 203.0.113.53/32 } udp dport 53 counter name dns accept" in rules(made)


@pytest.mark.parametrize("content", [None, "", "search ward.example\n"])
def test_where_no_resolver_is_named_this_host_is_asked_as_resolv_conf_has_it(tmp_path, content):
    path = write(tmp_path, POLICY.rstrip() + ";\n")
    resolver = path.with_name("resolv.conf")
    resolver.unlink()
    if content is not None:
        resolver.write_text(content)
    made = compiled(path)
    assert "ip daddr { 127.0.0.1/32 } udp dport 53 counter name dns accept" in rules(made)


def test_an_operators_network_that_is_asked_is_open_and_no_other_is(tmp_path):
    path = write(tmp_path)
    asked = """
[network_apis]
provider = "camara"
quality_on_demand = "https://203.0.113.77:8443/quality-on-demand/v1"
quality = { kinds = ["monitor"], profile = "QOS_E", server = "10.20.0.1" }
"""
    path.write_text(path.read_text() + asked)
    hole = "ip daddr { 203.0.113.77/32 } tcp dport 8443 counter name network-quality accept"
    assert hole in rules(compiled(path))
    path.write_text(path.read_text().replace('"camara"', '"none"'))
    assert "203.0.113.77" not in compiled(path).script


def test_where_a_core_network_tells_of_changes_is_open_to_it_alone(tmp_path):
    listening = """
[network_apis]
provider = "nef"
location_verification = "https://10.9.0.9/3gpp-monitoring-event/v1"
[network_apis.nef]
af = "hospital-1"
notify = "https://gw-1.hospital.example/network"
[network_apis.nef.callback]
listen = "10.20.0.1:7449"
url = "https://10.20.0.1:7449"
networks = ["10.9.0.0/24"]
"""
    path = write(tmp_path)
    path.write_text(path.read_text() + listening)
    (listener,) = [each for each in compiled(path).openings.listeners if each.port == 7449]
    assert {str(each) for each in listener.networks} == {"10.9.0.0/24", "127.0.0.0/8", "::1/128"}


@pytest.mark.parametrize("policy", ["", POLICY + CAMPUS.replace("campus", "kampus"), "nonsense"])
def test_without_a_policy_that_releases_no_destination_is_open_and_the_rest_is(tmp_path, policy):
    made = compiled(write(tmp_path, policy))
    assert bool(made.fault) == bool(policy)
    released = {each.name for each in made.openings.outgoing if each.released}
    assert released == {"fleet", "est", "driver-intellivue-0", "chrony"}


def test_the_last_rule_counts_and_drops_and_nothing_returns_from_the_chain(tmp_path):
    made = compiled(write(tmp_path))
    assert rules(made)[-1] == "counter name refused drop"
    assert rules(made, "output")[-1].endswith("goto gateway")
    for rule in rules(made)[:-2]:
        assert re.search(r"^(ip6?|tcp|udp) .* counter name \S+ (accept|drop)$", rule), rule
        # Every hole says where to, and never everywhere.
        there = re.search(r"ip6? daddr \{ (.+?) \}", rule)
        assert there, rule
        for network in there[1].split(", "):
            assert ipaddress.ip_network(network).prefixlen > 0


def test_what_is_open_comes_before_what_is_closed_at_the_same_place(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("telemetry.vendor.example:443", "10.2.0.5:7443"))
    path.write_text(path.read_text().replace('networks = ["198.51.100.0/24"]\n', ""))
    found = [rule for rule in rules(compiled(path)) if "10.2.0.5/32" in rule]
    assert [rule.rpartition(" ")[2] for rule in found] == ["accept", "drop"]


def test_systemds_limits_name_every_network_of_the_rules(tmp_path):
    path = write(tmp_path, POLICY.rstrip() + ";\n")
    made = compiled(path)
    said = systemd.drop_in(made.openings)
    allowed = [
        ipaddress.ip_network(line.partition("=")[2])
        for line in said.splitlines()
        if line.startswith("IPAddressAllow=")
    ]
    for found in re.findall(r"\{ ([0-9a-f.:/, ]+) \}", made.script):
        for network in map(ipaddress.ip_network, found.split(", ")):
            assert any(
                network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
                for each in allowed
            ), network
    assert "InaccessiblePaths" not in said  # a name must be resolved
    closed = write(tmp_path)
    closed.write_text(closed.read_text().replace("telemetry.vendor.example", "198.51.100.7"))
    found_all = openings.find(load(closed), closed, None, every=True)
    assert "InaccessiblePaths=-/run/systemd/resolve" in systemd.drop_in(found_all)


def test_a_name_that_is_unknown_now_stays_closed_and_is_no_fault(tmp_path):
    path = write(tmp_path, core="core.invalid:7443", networks="[]")
    made = compiled(path)
    assert opening(made, "to-core").networks == ()
    assert "to-core accept" not in made.script
    assert made.openings.names == ("core.invalid",)


@pytest.mark.parametrize(
    ("uid", "words"), [(0, "root's packets"), ("no-such-user", "no user 'no-such-user'")]
)
def test_whose_packets_must_be_somebodys_and_not_roots(tmp_path, uid, words):
    with pytest.raises(ConfigError, match=words):
        compiled(write(tmp_path, uid=uid))


@given(st.sets(st.text(max_size=60), min_size=2, max_size=8))
def test_two_gateways_never_share_a_table(names):
    tables = {ruleset.table_name(name) for name in names}
    assert len(tables) == len(names)
    for table in tables:
        assert re.fullmatch(r"wardgate_[a-z0-9_]{0,56}", table)


def test_names_that_look_alike_have_tables_of_their_own():
    names = ("gw-1", "gw_1", "GW-1", "gw 1", "gw-1" + "x" * 60, "gw-1" + "x" * 61)
    assert len({ruleset.table_name(name) for name in names}) == len(names)
    assert ruleset.table_name("gw-icu-1") == "wardgate_gw_icu_1"


@needs_root
def test_nft_takes_the_rules_and_counters_outlive_a_change(tmp_path):
    one = compiled(write(tmp_path))
    other = compiled(write(tmp_path, POLICY.rstrip() + ";\n"))
    nft.check(one.script)

    def work():
        nft.apply(one.script)
        assert nft.in_force(one.table).rules == ruleset.rule_count(one.script)
        nft.apply(other.script)
        found = nft.in_force(one.table)
        assert found.rules == ruleset.rule_count(other.script)
        assert {"to-vendor-x", "closed-vendor-x", "refused"} <= set(found.counters)
        with pytest.raises(nft.PacketFilterError, match="nft refuses"):
            nft.apply(other.script.replace("goto gateway", "goto nowhere"))
        assert nft.in_force(one.table) == found
        nft.remove(one.table)
        nft.remove(one.table)
        with pytest.raises(nft.PacketFilterError):
            nft.in_force(one.table)

    apart(work)
