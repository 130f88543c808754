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
            ["breakout: off_campus"],
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
    ],
)
def test_dns(dns, fault):
    assert found(GOOD, dns=dns, dns_rules=["core"]) == fault


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[{}]", b'[{"trafficRuleId": 3}]', b"null", b"\xff", b"[" * 100_000]
)
def test_what_is_no_list_of_rules_is_refused(body):
    with pytest.raises(MalformedError):
        rules.read_traffic_rules(body)


def test_a_list_without_end_is_refused():
    many = json.dumps([traffic_rule(str(n)) for n in range(rules.RULES_MAX + 1)]).encode()
    with pytest.raises(MalformedError, match="too many"):
        rules.read_traffic_rules(many)
