"""FreeRADIUS' configuration: what is in it, and what is refused before it gets there."""

import os
import re
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from fleet.radius import publish
from fleet.radius.config import AttributeMap, Client, RadiusTable
from fleet.radius.dictionary import (
    ATTRIBUTES,
    NAMES_NUMBER,
    OWN,
    OWN_FIRST,
    VALUES,
    vendor_dictionary,
)
from fleet.radius.making import read_secrets
from fleet.radius.raddb import Entry, Facts, Identity, render, serial_text
from fleet.radius.trust import trust_files
from gateway.domain.errors import ConfigError
from gateway.domain.network import parse_binding

BOUND = parse_binding("001010000000001", "", "490154203237518", "med", "1-00000a", ("1234",))
CLIENT = Client("192.0.2.7", Path("secret"), "nokia")
NOKIA = AttributeMap(gpsi=("Chargeable-User-Identity",), supi=("3GPP-IMSI", "User-Name"))


def table(directory=Path("/made"), in_force=Path("/force")):
    return RadiusTable(
        directory=directory,
        in_force=in_force,
        certificate=Path("/cert"),
        key=Path("/key"),
        clients={"smf": CLIENT},
        maps={"nokia": NOKIA},
    )


def rendered(*entries):
    facts = Facts(
        "ward.example", entries, {"abc.0": b"pem"}, {"smf": "s3cret"}, Identity(b"c", b"k")
    )
    return {name: each.decode() for name, each in render(table(), facts).items()}


def test_the_dictionary_has_each_attribute_once():
    assert len({each.number for each in ATTRIBUTES}) == len(ATTRIBUTES)
    assert len({each.name for each in ATTRIBUTES}) == len(ATTRIBUTES)
    assert {each.number for each in ATTRIBUTES} == {*range(1, 34), *range(110, 130)}
    assert VALUES.keys() <= {each.name for each in ATTRIBUTES}
    assert "ATTRIBUTE 3GPP-Session-S-NSSAI 125 octets\n" in vendor_dictionary()
    assert OWN_FIRST + len(OWN) <= NAMES_NUMBER < 4000


def test_a_certificate_has_a_line_with_what_its_device_is_bound_to():
    files = rendered(Entry(0x0A2B, "pump-1", BOUND), Entry(7, "pump-2", parse_binding("00101")))
    name = 'Wardgate-Name := "URI:spiffe://ward.example/device/pump-{}"'
    bound = (
        'Wardgate-Bound-Supi := "imsi-001010000000001"',
        'Wardgate-Bound-Equipment := "49015420323751"',
        'Wardgate-Bound-Dnn := "med"',
        'Wardgate-Bound-Slice := "1-00000a"',
        'Wardgate-Bound-Slice-Octets := "0x0100000a"',
        'Wardgate-Bound-Areas := " 001234 "',
    )
    assert files["devices"].splitlines() == [
        f'07 Wardgate-Device := "pump-2", {name.format(2)}, Wardgate-Bound-Supi := "imsi-00101"',
        ", ".join(('0a2b Wardgate-Device := "pump-1"', name.format(1), *bound)),
    ]
    assert serial_text(2**159 - 1) == "7f" + "ff" * 19
    assert files["trust/abc.0"] == "pem"


def test_each_vendor_has_its_map_and_everything_that_is_named_is_there():
    files = rendered()
    assert "wardgate_map = nokia" in files["clients.conf"]
    policy = files["policy.conf"]
    for name in ("standard", "nokia"):
        assert policy.count(f"wardgate_map_{name} {{") == 1
        assert f'case "{name}" {{' in policy
    used = set(re.findall(r"Wardgate-[A-Za-z-]+", policy + files["radiusd.conf"]))
    assert used <= {f"Wardgate-{name}" for name in OWN}
    known = {each.name for each in ATTRIBUTES}
    assert set(re.findall(r"3GPP-[A-Za-z0-9-]+", policy)) <= known
    assert policy.count("{") == policy.count("}")
    main = files["radiusd.conf"]
    assert 'tls_min_version = "1.2"' in main
    assert "check_crl = yes" in main


def test_the_same_facts_give_the_same_bytes():
    one, other = Entry(1, "a", BOUND), Entry(2, "b", BOUND)
    assert rendered(one, other) == rendered(other, one)


REFUSED = [
    ({"map": "other"}, "no map 'other'"),
    ({"address": "smf.example"}, "does not appear to be"),
    ({"disconnect": "192.0.2.7"}, "disconnect"),
    ({"nonsense": 1}, "unknown field"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_client_that_can_not_be_is_refused(words, why):
    client = {"address": "192.0.2.7", "secret": "secret"} | words
    told = {"directory": "a", "certificate": "b", "key": "c", "clients": {"smf": client}}
    with pytest.raises((msgspec.ValidationError, ConfigError), match=why):
        msgspec.convert(told, RadiusTable, dec_hook=lambda kind, each: kind(each))


def test_a_map_names_attributes_that_are_known():
    with pytest.raises(ValueError, match="Framed-Nonsense"):
        AttributeMap(dnn=("Framed-Nonsense",))


@pytest.mark.parametrize("secret", ["", 'quo"te', "dollar$", "per%cent", "br{ace", "two words"])
def test_a_secret_that_freeradius_would_read_otherwise_is_refused(tmp_path, secret):
    file = tmp_path / "secret"
    file.write_text(secret)
    file.chmod(0o600)
    told = msgspec.structs.replace(table(), clients={"smf": Client("192.0.2.7", file)})
    with pytest.raises(ConfigError, match=r"clients\.smf"):
        read_secrets(told)
    file.write_text("fine-S3cret!\n")
    assert read_secrets(told) == {"smf": "fine-S3cret!"}


def test_authorities_of_one_name_have_files_of_their_own(ward):
    root = ward.root.certificate
    files = trust_files([root, root, ward.issuing.certificate], {})
    assert len(files) == 2
    assert {x509.load_pem_x509_certificate(each) for each in files.values()} == {
        root,
        ward.issuing.certificate,
    }


@pytest.fixture
def ward():
    from datetime import UTC, datetime  # noqa: PLC0415
    from types import SimpleNamespace  # noqa: PLC0415

    from security import pki  # noqa: PLC0415

    now = datetime.now(UTC)
    root = pki.create_root("ward.example", now)
    return SimpleNamespace(root=root, issuing=pki.create_issuing(root, now))


@pytest.fixture
def strict_umask():
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_what_is_published_is_whole_private_and_kept_as_long_as_it_may_be_read(tmp_path):
    place = tmp_path / "made"
    for n in range(3):
        assert publish.publish(place, {"a": b"%d" % n, "trust/b": b"b"})
        assert not publish.publish(place, {"a": b"%d" % n, "trust/b": b"b"})
    assert publish.read(place / "current") == {"a": b"2", "trust/b": b"b"}
    assert len([each for each in place.iterdir() if not each.is_symlink()]) == 2
    assert (place / "current" / "a").stat().st_mode & 0o777 == 0o640
    assert (place / "current" / "trust" / "b").stat().st_mode & 0o777 == 0o640
    for each in (place, place / "current", place / "current" / "trust"):
        assert each.stat().st_mode & 0o777 == 0o750
    assert publish.newest(tmp_path / "nowhere") == ""
