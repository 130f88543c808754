"""Which rules keep traffic on campus."""

import ipaddress
import json

import pytest

from firmware_sim.mec.platform import dns_rule, traffic_rule
from gateway.domain.errors import MalformedError
from gateway.mec import rules

CAMPUS = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/16")]
GOOD = traffic_rule("breakout")
TUNNEL = {"interfaceType": "TUNNEL", "tunnelInfo": {"tunnelType": "GTP_U"}}


def found(*traffic, dns=(), dns_rules=()):
    return [
        str(each)
        for each in rules.judge(
            rules.read_traffic_rules(json.dumps(traffic).encode()),
            rules.read_dns_rules(json.dumps(dns).encode()),
            rules=["breakout"],
            dns_rules=dns_rules,
            campus=CAMPUS,
        )
    ]


@pytest.mark.parametrize(
    ("traffic", "fault"),
    [
        ([GOOD], []),
        ([], ["breakout: missing"]),
        ([traffic_rule("other")], ["breakout: missing"]),
        ([traffic_rule("breakout", state="INACTIVE")], ["breakout: inactive"]),
        (
            [traffic_rule("breakout", action="DUPLICATE_DECAPSULATED")],
            ["breakout: duplicates"],
        ),
        ([traffic_rule("breakout", action="DROP")], ["breakout: drops"]),
        ([traffic_rule("breakout", action="SHUFFLE")], ["breakout: unknown_action"]),
        ([traffic_rule("breakout", address="8.8.8.8")], ["breakout: off_campus"]),
        ([traffic_rule("breakout", address="fd00::1")], []),
        ([traffic_rule("breakout", address="not an address")], ["breakout: off_campus"]),
        ([GOOD, traffic_rule("mirror", action="DUPLICATE_ENCAPSULATED")], ["mirror: duplicates"]),
        ([GOOD, traffic_rule("elsewhere", address="203.0.113.9")], ["elsewhere: off_campus"]),
        ([GOOD, traffic_rule("asleep", address="203.0.113.9", state="INACTIVE")], []),
        # What is not INACTIVE may be in force.
        (
            [GOOD, traffic_rule("odd", address="203.0.113.9", state="Active")],
            ["odd: off_campus"],
        ),
        # One that sleeps is judged before anybody wakes it.
        (
            [traffic_rule("breakout", address="203.0.113.9", state="INACTIVE")],
            ["breakout: inactive", "breakout: off_campus"],
        ),
        (
            [traffic_rule("breakout", action="DUPLICATE_DECAPSULATED", state="INACTIVE")],
            ["breakout: inactive", "breakout: duplicates"],
        ),
        ([GOOD, GOOD], ["breakout: ambiguous"]),
        (
            [GOOD, traffic_rule("breakout", address="203.0.113.9", state="INACTIVE")],
            ["breakout: ambiguous", "breakout: off_campus"],
        ),
        # Two places, and both have the traffic.
        (
            [
                traffic_rule(
                    "breakout",
                    dstInterface=[
                        {"interfaceType": "IP", "dstIpAddress": "10.1.0.9"},
                        {"interfaceType": "IP", "dstIpAddress": "10.1.0.10"},
                    ],
                )
            ],
            ["breakout: duplicates"],
        ),
        # Whoever is not named says where it sends.
        ([GOOD, traffic_rule("later", dstInterface=None)], ["later: unsaid"]),
        ([GOOD, traffic_rule("later", dstInterface=[])], ["later: unsaid"]),
        ([GOOD, traffic_rule("later", dstInterface=TUNNEL)], ["later: unsaid"]),
        (
            [GOOD, traffic_rule("later", dstInterface=[TUNNEL, {"dstIpAddress": "10.1.0.9"}])],
            ["later: duplicates", "later: unsaid"],
        ),
        (
            [GOOD, traffic_rule("later", dstInterface={"dstMacAddress": "02-00-00-00-00-00"})],
            ["later: unsaid"],
        ),
        ([GOOD, traffic_rule("later", action="PASSTHROUGH", dstInterface=None)], ["later: unsaid"]),
        # A descriptor's last rule, that drops what no other covers, sends nothing anywhere.
        ([GOOD, traffic_rule("rest", action="DROP", priority=255, dstInterface=None)], []),
        ([GOOD, traffic_rule("rest", action="DROP", dstInterface=[])], []),
        # Priorities make nothing better.
        (
            [GOOD, traffic_rule("first", priority=0, address="203.0.113.9")],
            ["first: off_campus"],
        ),
        ([traffic_rule("breakout", address="::ffff:10.1.2.3")], ["breakout: off_campus"]),
        ([traffic_rule("breakout", address="10.1.2.3/16")], ["breakout: off_campus"]),
        ([traffic_rule("breakout", address="")], []),
        ([traffic_rule("breakout", action="duplicate_encapsulated")], ["breakout: unknown_action"]),
        # Java's way of saying nothing.
        ([traffic_rule("breakout", dstInterface={"dstIpAddress": None, "tunnelInfo": None})], []),
        # What can't be read may do anything.
        ([GOOD, {"trafficRuleId": "half"}], ["half: unreadable"]),
        ([GOOD, {}], ["?: unreadable"]),
        ([GOOD, 3], ["?: unreadable"]),
        ([traffic_rule("breakout", action=None)], ["breakout: unreadable"]),
        ([traffic_rule("breakout", dstInterface=None)], []),
        ([traffic_rule("breakout", dstInterface=TUNNEL)], []),
        (
            [
                traffic_rule(
                    "breakout",
                    dstInterface={
                        "interfaceType": "TUNNEL",
                        "tunnelInfo": {"tunnelType": "GRE", "tunnelDstAddress": "203.0.113.9"},
                    },
                )
            ],
            ["breakout: off_campus"],
        ),
        (
            [
                traffic_rule(
                    "breakout",
                    dstInterface=[
                        {"interfaceType": "IP", "dstIpAddress": "10.1.0.9"},
                        {"interfaceType": "IP", "dstIpAddress": "203.0.113.9"},
                    ],
                )
            ],
            ["breakout: off_campus", "breakout: duplicates"],
        ),
    ],
)
def test_traffic(traffic, fault):
    assert found(*traffic) == fault


@pytest.mark.parametrize(
    ("dns", "fault"),
    [
        ([dns_rule("core")], []),
        ([], ["core: missing"]),
        ([dns_rule("core", state="INACTIVE")], ["core: inactive"]),
        ([dns_rule("core", address="203.0.113.9")], ["core: off_campus"]),
        (
            [dns_rule("core", address="203.0.113.9", state="INACTIVE")],
            ["core: inactive", "core: off_campus"],
        ),
        ([dns_rule("core"), dns_rule("core")], ["core: ambiguous"]),
        # Another answer for the same name.
        ([dns_rule("core"), dns_rule("later", address="203.0.113.9")], ["later: off_campus"]),
        ([dns_rule("core"), dns_rule("odd", address="::1", state="on")], ["odd: off_campus"]),
        ([dns_rule("core"), dns_rule("later", address="203.0.113.9", state="INACTIVE")], []),
        ([dns_rule("core"), dns_rule("later")], []),
        ([dns_rule("core", ipAddress=None)], ["core: unreadable"]),
    ],
)
def test_dns(dns, fault):
    assert found(GOOD, dns=dns, dns_rules=["core"]) == fault


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"\xff", b"[" * 100_000, b'[{"x":' + b"[" * 100_000, b'[{"x":"\xff"]'],
    ids=["nothing", "an object", "null", "no UTF-8", "nested", "nested within", "cut off"],
)
def test_what_is_no_list_of_rules_is_refused(body):
    with pytest.raises(MalformedError):
        rules.read_traffic_rules(body)


def test_a_rule_that_is_no_utf_8_can_not_be_read():
    body = b'[{"trafficRuleId":"a","action":"\xff","state":"ACTIVE"}]'
    assert rules.read_traffic_rules(body) == (rules.Unread("a"),)


def test_a_list_without_end_is_refused():
    many = json.dumps([traffic_rule(str(n)) for n in range(rules.RULES_MAX)]).encode()
    assert len(rules.read_traffic_rules(many)) == rules.RULES_MAX
    many = json.dumps([traffic_rule(str(n)) for n in range(rules.RULES_MAX + 1)]).encode()
    with pytest.raises(MalformedError, match="too many"):
        rules.read_traffic_rules(many)


def test_only_what_would_be_right_is_to_be_switched_on():
    inactive = [rules.Found("a", rules.Fault.INACTIVE), rules.Found("b", rules.Fault.INACTIVE)]
    assert rules.asleep(inactive) == {"a", "b"}
    assert rules.asleep([*inactive, rules.Found("b", rules.Fault.OFF_CAMPUS)]) == {"a"}
    assert not rules.asleep([rules.Found("c", rules.Fault.MISSING)])


def test_what_is_wrong_is_said_in_one_short_line():
    odd = rules.Found("a\nb" * 100, rules.Fault.DROPS)
    said = rules.in_words([odd] * 20)
    assert "\n" not in said
    assert said.endswith(", and 12 more")
    assert len(said) < 1300
    assert rules.in_words([odd]).startswith("a?b")
    assert "more" not in rules.in_words([odd] * rules.FAULTS_SAID_MAX)
    assert not rules.in_words([])
