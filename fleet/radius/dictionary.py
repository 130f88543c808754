"""The 3GPP's vendor-specific attributes (vendor 10415), for FreeRADIUS 3.2.

Numbers and types: TS 29.061, 16.4.7 (1 to 33) and TS 29.561, 11.3 (110 to 129). What is not a
number, an address or text is ``octets``: whoever compares it knows its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

VENDOR: Final = 10415


class Attribute(NamedTuple):
    """One of them."""

    number: int
    name: str
    type: str = "octets"


ATTRIBUTES: Final = (
    Attribute(1, "3GPP-IMSI", "string"),
    Attribute(2, "3GPP-Charging-ID", "integer"),
    Attribute(3, "3GPP-PDP-Type", "integer"),
    Attribute(4, "3GPP-Charging-Gateway-Address", "ipaddr"),
    Attribute(5, "3GPP-GPRS-Negotiated-QoS-profile", "string"),
    Attribute(6, "3GPP-SGSN-Address", "ipaddr"),
    Attribute(7, "3GPP-GGSN-Address", "ipaddr"),
    Attribute(8, "3GPP-IMSI-MCC-MNC", "string"),
    Attribute(9, "3GPP-GGSN-MCC-MNC", "string"),
    Attribute(10, "3GPP-NSAPI", "string"),
    Attribute(11, "3GPP-Session-Stop-Indicator", "byte"),
    Attribute(12, "3GPP-Selection-Mode", "string"),
    Attribute(13, "3GPP-Charging-Characteristics", "string"),
    Attribute(14, "3GPP-Charging-Gateway-IPv6-Address", "ipv6addr"),
    Attribute(15, "3GPP-SGSN-IPv6-Address", "ipv6addr"),
    Attribute(16, "3GPP-GGSN-IPv6-Address", "ipv6addr"),
    Attribute(17, "3GPP-IPv6-DNS-Servers"),
    Attribute(18, "3GPP-SGSN-MCC-MNC", "string"),
    Attribute(19, "3GPP-Teardown-Indicator", "byte"),
    Attribute(20, "3GPP-IMEISV", "string"),
    Attribute(21, "3GPP-RAT-Type", "byte"),
    Attribute(22, "3GPP-User-Location-Info"),
    Attribute(23, "3GPP-MS-Time-Zone", "octets[2]"),
    Attribute(24, "3GPP-Camel-Charging-Info"),
    Attribute(25, "3GPP-Packet-Filter"),
    Attribute(26, "3GPP-Negotiated-DSCP", "byte"),
    Attribute(27, "3GPP-Allocate-IP-Type", "byte"),
    Attribute(28, "3GPP-External-Identifier", "string"),
    Attribute(29, "3GPP-TWAN-Identifier"),
    Attribute(30, "3GPP-User-Location-Info-Time"),
    Attribute(31, "3GPP-Secondary-RAT-Usage"),
    Attribute(32, "3GPP-UE-Local-IP-Address"),
    Attribute(33, "3GPP-UE-Source-Port"),
    Attribute(110, "3GPP-Notification"),
    Attribute(111, "3GPP-UE-MAC-Address"),
    Attribute(112, "3GPP-Authorization-Reference"),
    Attribute(113, "3GPP-Policy-Reference"),
    Attribute(114, "3GPP-Session-AMBR"),
    Attribute(115, "3GPP-NAI"),
    Attribute(116, "3GPP-Session-AMBR-v2"),
    Attribute(117, "3GPP-Supported-Features"),
    Attribute(118, "3GPP-IP-Address-Pool-Info"),
    Attribute(119, "3GPP-VLAN-Id"),
    Attribute(120, "3GPP-TNAP-Identifier"),
    Attribute(121, "3GPP-HFC-NodeId"),
    Attribute(122, "3GPP-GLI"),
    Attribute(123, "3GPP-Line-Type"),
    Attribute(124, "3GPP-NID"),
    Attribute(125, "3GPP-Session-S-NSSAI"),
    Attribute(126, "3GPP-CHF-FQDN", "string"),
    Attribute(127, "3GPP-Serving-NF-FQDN", "string"),
    Attribute(128, "3GPP-Session-Id"),
    Attribute(129, "3GPP-GCI"),
)
VALUES: Final[Mapping[str, Mapping[str, int]]] = {
    "3GPP-PDP-Type": {
        "IPv4": 0,
        "PPP": 1,
        "IPv6": 2,
        "IPv4v6": 3,
        "Non-IP": 4,
        "Unstructured": 5,
        "Ethernet": 6,
    },
    "3GPP-RAT-Type": {
        "UTRAN": 1,
        "GERAN": 2,
        "WLAN": 3,
        "GAN": 4,
        "HSPA-Evolution": 5,
        "EUTRAN": 6,
        "Virtual": 7,
        "EUTRAN-NB-IoT": 8,
        "LTE-M": 9,
        "NR": 51,
        "NR-Unlicensed": 52,
        "Trusted-WLAN": 53,
        "Trusted-Non-3GPP": 54,
        "Wireline-Access": 55,
        "Wireline-Cable-Access": 56,
        "Wireline-BBF-Access": 57,
        "IEEE-802.16e": 101,
        "3GPP2-eHRPD": 102,
        "3GPP2-HRPD": 103,
        "3GPP2-1xRTT": 104,
        "3GPP2-UMB": 105,
    },
}
OWN: Final = (
    "Supi",
    "Gpsi",
    "Equipment",
    "Dnn",
    "Slice",
    "Area",
    "Outcome",
    "Refusal",
    "Device",
    "Serial",
    "Name",
    "Bound-Supi",
    "Bound-Gpsi",
    "Bound-Equipment",
    "Bound-Dnn",
    "Bound-Slice",
    "Bound-Slice-Octets",
    "Bound-Areas",
)
"""What the generated rules keep for themselves, as ``Wardgate-…``; never on the wire."""
OWN_FIRST: Final = 3000
"""FreeRADIUS leaves 3000 to 3999 to whoever runs it."""
NAMES: Final = "TLS-Client-Cert-X509v3-Subject-Alternative-Name"
"""A peer's alternative names, as OpenSSL prints them (``URI:spiffe://…``). FreeRADIUS makes an
attribute of each extension whose name a dictionary has; its own has this one not."""
NAMES_NUMBER: Final = 3999


def vendor_dictionary() -> str:
    """The file ``dictionary.3gpp``."""
    lines = [f"VENDOR 3GPP {VENDOR}", "BEGIN-VENDOR 3GPP"]
    lines += [f"ATTRIBUTE {each.name} {each.number} {each.type}" for each in ATTRIBUTES]
    lines += [
        f"VALUE {name} {word} {number}"
        for name, words in VALUES.items()
        for word, number in words.items()
    ]
    return "\n".join((*lines, "END-VENDOR 3GPP", ""))


def own_dictionary() -> str:
    """The file ``dictionary``: ours, on top of what FreeRADIUS brings."""
    lines = ["$INCLUDE dictionary.3gpp"]
    lines += [
        f"ATTRIBUTE Wardgate-{name} {number} string" for number, name in enumerate(OWN, OWN_FIRST)
    ]
    return "\n".join((*lines, f"ATTRIBUTE {NAMES} {NAMES_NUMBER} string", ""))
