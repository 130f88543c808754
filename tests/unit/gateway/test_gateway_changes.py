"""What differs between two configurations, and what only a restart can apply."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from gateway import changes
from gateway.config import GatewayConfig, build, read
from gateway.domain.errors import ConfigError

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
BASE = """
[gateway]
name = "gw"
state_dir = "state"
seal_keys = "seal.keys"
[tls]
cert = "cert.pem"
key = "key.pem"
trust = "ca.pem"
[identity]
trust_domain = "hospital.example"
[policy]
file = "policy.signed"
[fleet]
address = "fleet:1"
[drivers.mqtt]
listen = ["127.0.0.1:1"]
[drivers.coap]
listen = ["127.0.0.1:2"]
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "hospital"
address = "core:1"
"""


def config(folder: Path, text: str = BASE) -> GatewayConfig:
    path = folder / "gateway.toml"
    path.write_text(text)
    return build(read(path))


@pytest.mark.parametrize(
    ("old", "new", "settings"),
    [
        ("", "", ()),
        ('"gw"', '"other"', ("gateway.name",)),
        ("[policy]", "[journal]\nlimit_bytes = 999999999\n[policy]", ("journal.limit_bytes",)),
        ("[policy]", "[pipeline.silence]\nintervals = 5\n[policy]", ("pipeline.silence",)),
        ("fleet:1", "fleet:2", ("fleet.address",)),
        ('[fleet]\naddress = "fleet:1"', "", ("fleet",)),
        ("core:1", "core:2", ("destinations.core",)),
        ('name = "core"', 'name = "care"', ("destinations.core", "destinations.care")),
        ("127.0.0.1:2", "127.0.0.1:3", ("drivers.coap",)),
        ("[drivers.coap]", "[drivers.more]", ("drivers.coap", "drivers.more")),
    ],
)
def test_every_difference_is_named(tmp_path, old, new, settings):
    wanted = config(tmp_path, BASE.replace(old, new, 1))
    assert changes.difference(config(tmp_path), wanted).settings == settings


def test_the_same_destinations_in_another_order_are_named(tmp_path):
    end = BASE[BASE.index("[[destinations]]") :]
    one = config(tmp_path, BASE + end.replace('"core"', '"b"'))
    turned = msgspec.structs.replace(one, destinations=one.destinations[::-1])
    assert set(changes.difference(one, turned).settings) == {"destinations.core", "destinations.b"}


def test_what_only_a_restart_applies_is_refused_with_every_name(tmp_path):
    wanted = BASE.replace('"gw"', '"other"').replace('"state"', '"elsewhere"')
    found = changes.difference(config(tmp_path), config(tmp_path, wanted))
    with pytest.raises(ConfigError, match=r"gateway\.name .* gateway\.state_dir"):
        changes.require_live(found)


def settings() -> set[str]:
    """Every setting that :func:`changes.difference` can name."""
    named = set()
    for table in msgspec.structs.fields(GatewayConfig):
        kinds = [table.type, *getattr(table.type, "__args__", ())]
        structs = [
            kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        ]
        if table.name in ("drivers", "destinations", "cabinets"):
            named.add(table.name)
        else:
            named |= {
                f"{table.name}.{field}" for kind in structs for field in kind.__struct_fields__
            }
    return named


def test_every_restart_is_of_a_setting_that_exists():
    assert set(changes.RESTART) - settings() == {"fleet"}


def test_the_documents_table_says_the_same():
    rows = re.findall(r"^\| (`.*?) \| (live|restart) \|", DOCUMENT.read_text(), re.MULTILINE)
    said = {name: word for cell, word in rows for name in re.findall(r"`([a-z_.*]+)`", cell)}
    for setting in settings() | {"fleet"}:
        table = setting.partition(".")[0]
        word = said.get(setting) or said.get(f"{table}.*")
        assert word == ("restart" if setting in changes.RESTART else "live"), setting
    known = settings() | {f"{each.partition('.')[0]}.*" for each in settings()} | {"fleet"}
    assert set(said) <= known
