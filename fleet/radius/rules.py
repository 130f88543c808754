"""What FreeRADIUS decides, as unlang: which facts a request has, and whether they are the device's.

Rules:

* Each fact is brought into one spelling (:mod:`gateway.domain.network`) before it is compared.
  What is not in a form that is known is no fact.
* A certificate that the table does not have is refused, and one whose only name is not the one that
  the table has for its serial number.
* What a device is bound to must be told, and be that: a fact that is missing is refused like one
  that is wrong.
* The first thing that is wrong is the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fleet.radius.config import AttributeMap
from fleet.radius.dictionary import ATTRIBUTES, NAMES

_OCTETS: Final = frozenset(each.name for each in ATTRIBUTES if each.type.startswith("octets"))


OCTETS: Final = "0x"
"""Before a slice that was told as octets: ``10`` is another one as text than as an octet."""


class _Form(NamedTuple):
    """A form that a fact may have in an attribute, and what is kept of it."""

    pattern: str
    kept: str


_TEXT: Final[Mapping[str, tuple[_Form, ...]]] = {
    "Supi": (_Form("^(imsi-)?([0-9]{5,15})(@.*)?$", "imsi-%{2}"),),
    "Gpsi": (_Form("^(msisdn-|[+])?([0-9]{5,15})(@.*)?$", "msisdn-%{2}"),),
    "Equipment": (_Form("^(imei-|imeisv-)?([0-9]{14})[0-9]{0,2}$", "%{2}"),),
    "Dnn": (
        _Form(
            "^([A-Za-z0-9.-]+)[.]mnc[0-9]{2,3}[.]mcc[0-9]{3}[.]gprs$",
            "%{tolower:%{1}}",
        ),
        _Form("^([A-Za-z0-9.-]+)$", "%{tolower:%{1}}"),
    ),
    "Slice": (_Form("^([0-9]{1,3}(-[0-9A-Fa-f]{6})?)$", "%{tolower:%{1}}"),),
    "Area": (
        _Form("^([0-9A-Fa-f]{6})$", "%{tolower:%{1}}"),
        _Form("^([0-9A-Fa-f]{4})$", "00%{tolower:%{1}}"),
    ),
}
_HEX: Final[Mapping[str, tuple[_Form, ...]]] = {
    # SST, and SD unless there is none: TS 29.561, 11.3.
    "Slice": (
        _Form("^([0-9a-f]{2})ffffff$", f"{OCTETS}%{{1}}"),
        _Form("^([0-9a-f]{2}([0-9a-f]{6})?)$", f"{OCTETS}%{{1}}"),
    ),
    # 5GS TAI alone, with NCGI, with NG-RAN node; then EPS TAI likewise: TS 29.061, 16.4.7.2.
    "Area": (
        _Form("^(88|89|8b)[0-9a-f]{6}([0-9a-f]{6})", "%{2}"),
        _Form("^(80|82|84|86)[0-9a-f]{6}([0-9a-f]{4})", "00%{2}"),
    ),
}
_SOURCES: Final = (
    ("Supi", "supi"),
    ("Gpsi", "gpsi"),
    ("Equipment", "imei"),
    ("Dnn", "dnn"),
    ("Slice", "snssai"),
    ("Area", "tac"),
)
REASONS: Final = {
    "Supi": "wrong_sim",
    "Gpsi": "wrong_number",
    "Equipment": "wrong_imei",
    "Dnn": "wrong_dnn",
    "Slice": "wrong_slice",
    "Area": "outside_tac",
}
UNKNOWN: Final = "unknown_certificate"
WRONG_NAME: Final = "wrong_name"


def mapping(name: str, attributes: AttributeMap) -> str:
    """The policy that brings one vendor's attributes into one spelling."""
    lines = [f"wardgate_map_{name} {{"]
    for fact, field in _SOURCES:
        for attribute in getattr(attributes, field):
            lines += _taken(fact, attribute)
    return "\n".join((*lines, "}", ""))


def chosen(maps: Iterable[str]) -> str:
    """The policy that takes the map of the client that asks."""
    lines = ["wardgate_facts {", '    switch "%{client:wardgate_map}" {']
    for name in maps:
        lines += [f'        case "{name}" {{', f"            wardgate_map_{name}", "        }"]
    return "\n".join((*lines, "    }", "}", ""))


def judged() -> str:
    """The policy that compares the facts with what the table has of the certificate."""
    lines = ["wardgate_judge {"]
    lines += _refused("!&control:Wardgate-Device", UNKNOWN)
    # OpenSSL's text has every name of the extension, so that another one beside it differs, too;
    # and there is one extension, be it the device's or its issuer's.
    one = f'"%{{{NAMES}[#]}}" == "1"'
    lines += _refused(f"!(({one}) && (&{NAMES} == &control:Wardgate-Name))", WRONG_NAME)
    for fact, reason in REASONS.items():
        lines += _refused(_differs(fact), reason)
    return "\n".join((*lines, "}", ""))


def _taken(fact: str, attribute: str) -> list[str]:
    """Take a fact from an attribute, unless it is known already."""
    octets = attribute in _OCTETS
    forms = _HEX.get(fact, ()) if octets else _TEXT[fact]
    value = f"%{{hex:&{attribute}}}" if octets else f"%{{{attribute}}}"
    lines: list[str] = []
    for form in forms:
        lines += [
            f'    if (!&Wardgate-{fact} && &{attribute} && ("{value}" =~ /{form.pattern}/)) {{',
            "        update request {",
            f'            &Wardgate-{fact} := "{form.kept}"',
            "        }",
            "    }",
        ]
    return lines


def _differs(fact: str) -> str:
    bound, said = f"control:Wardgate-Bound-{fact}", f"Wardgate-{fact}"
    if fact == "Slice":
        return f"&{bound} && (!&{said} || ((&{said} != &{bound}) && (&{said} != &{bound}-Octets)))"
    if fact == "Area":
        bound += "s"
        return f'&{bound} && (!&{said} || !("%{{{bound}}}" =~ / %{{{said}}} /))'
    return f"&{bound} && (!&{said} || (&{said} != &{bound}))"


def _refused(condition: str, reason: str) -> list[str]:
    return [
        f"    if ({condition}) {{",
        "        update request {",
        '            &Wardgate-Outcome := "refused"',
        f'            &Wardgate-Refusal := "{reason}"',
        "        }",
        "        wardgate_sessions",
        "        reject",
        "    }",
    ]
