"""Documents name files, commands, options and settings that exist, and show TOML that is taken."""

from __future__ import annotations

import inspect
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
import typer

from contract import exhibit
from core.config import CoreConfig
from drivers.base.lines import BoundPort
from fleet import cli as fleet_cli
from fleet.config import FleetConfig
from gateway import plugins, tomlfile
from gateway.config import GatewayConfig
from gateway.metrics_http import MetricsConfig
from gateway.pipeline import classification
from security.policy import read_invariants
from wardgate.main import app

ROOT = Path(__file__).parents[2]
OURS = (
    "gateway|security|drivers|fleet|core|attack|firmware_sim|wardgate|demo|bench|tools|tests"
    "|ansible|docs|contract"
)
NAMED = re.compile(rf"`((?:{OURS})/[\w./-]+)`")
LINKED = re.compile(r"\]\((?!\w+:)([^)#\s]+)")


def documents() -> list[Path]:
    """Every Markdown file of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    found = [ROOT / name for name in listed] or sorted(ROOT.glob("*.md"))
    return [path for path in found if path.exists()]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(path):
    text = path.read_text()
    missing = [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    missing += [name for name in LINKED.findall(text) if not (path.parent / name).exists()]
    assert missing == []


TESTED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
THREATS = ROOT / "docs" / "threat-model.md"


def test_each_threat_names_tests_that_exist():
    rows = [
        line
        for line in THREATS.read_text().splitlines()
        if line.startswith("| ") and not line.startswith("| threat |")
    ]
    assert len(rows) > 40
    for row in rows:
        named = TESTED.findall(row.rpartition(" | ")[2])
        assert named, f"no test: {row}"
        for file, test in named:
            source = (ROOT / file).read_text()
            assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), (
                file,
                test,
            )


# Commands

CALL = re.compile(r"(?<![\w/.-])wardgate((?:\s+[a-z][a-z-]*)+)([^|;\n]*)")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`]+)`", re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
GLOBAL = {"--help"}


def calls(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """The words and options of each call of ours that a file shows."""
    text = path.read_text().replace("\\\n", " ")
    for code in (block or span for block, span in CODE.findall(text)):
        for words, rest in CALL.findall(code):
            yield words.split(), OPTION.findall(rest)


def what_is_wrong(words: list[str], options: list[str]) -> str | None:
    """Why a call can't be one: an unknown or hidden command, or an option that it lacks."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="wardgate")
    for word in words:
        if not hasattr(command, "get_command"):
            break  # its arguments
        command = command.get_command(context, word)
        if command is None or command.hidden:
            return word
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    return next((option for option in options if option not in known | GLOBAL), None)


def test_commands_that_are_shown_are_there():
    texts = [*documents(), ROOT / "ansible/roles/monitoring/files/rules/wardgate.yml"]
    shown = [(path, *call) for path in texts for call in calls(path)]
    assert len(shown) > 80
    wrong = [(path.name, *call) for path, *call in shown if what_is_wrong(*call)]
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "options", "wrong"),
    [
        (["gateway", "check"], ["--config"], None),
        (["gateway", "chek"], [], "chek"),
        (["fleet", "issue"], [], "issue"),  # a former name, hidden
        (["gateway", "check"], ["--conf"], "--conf"),
    ],
)
def test_a_wrong_call_is_found(words, options, wrong):
    assert what_is_wrong(words, options) == wrong


# Configuration

TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
TLS = {"cert": "cert.pem", "key": "key.pem", "trust": "ca.pem"}
GATEWAY = {
    "gateway": {"name": "gw-1", "state_dir": "state", "seal_keys": "seal.keys"},
    "tls": TLS,
    "identity": {"trust_domain": "hospital.example"},
    "policy": {"file": "policy.signed"},
    "drivers": {},
}
FLEET = {"listen": "127.0.0.1:0", "state": "state", "authority": "ca", "tls": TLS}
CORE = {
    "listen": "127.0.0.1:0",
    "database": "core.db",
    "tls": {
        "certificate": "cert.pem",
        "key": "key.pem",
        "client_ca": "ca.pem",
        "trust_domain": "hospital.example",
    },
}
OF_THE_FLEET, OF_THE_CORE = (
    {"enrolment.md", "secondary-authentication.md"},
    {"ingest-protocol.md", "at-rest.md"},
)


def examples() -> list[Any]:
    """Every TOML example, with the document's name."""
    return [
        pytest.param(path.name, block, id=f"{path.relative_to(ROOT)}:{number}")
        for path in documents()
        if "examples" not in path.parts  # packages of their own, which are not installed here
        for number, block in enumerate(TOML.findall(path.read_text()))
    ]


@pytest.mark.parametrize(("name", "block"), examples())
def test_toml_that_is_shown_is_taken(name, block, monkeypatch, tmp_path):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    table = tomlfile.decode(block.encode(), name)
    if name in OF_THE_FLEET:
        tomlfile.convert(FLEET | table, FleetConfig, base=tmp_path, where=name)
    elif name in OF_THE_CORE:
        tomlfile.convert(CORE | table, CoreConfig, base=tmp_path, where=name)
    elif name == "classification.md" or "device_kinds" in table:
        edits = tomlfile.convert(table, classification.Edits, base=tmp_path, where=name)
        classification.compiled(classification.Source(name, block.encode(), edits))
    elif "project" in table:
        groups = table["project"]["entry-points"]
        assert groups.keys() <= {plugins.GROUP, exhibit.GROUP}
        assert all(plugins.factory(name) for name in groups.get(plugins.GROUP, ()))
        shown = groups.get(exhibit.GROUP, ())
        assert all(entry_points(group=exhibit.GROUP, name=name) for name in shown)
    elif "invariant" in table:
        read_invariants(block.encode())
    else:
        whole = {} if "gateway" in table else GATEWAY
        config = tomlfile.convert(whole | table, GatewayConfig, base=tmp_path, where=name)
        plugins.check(config.drivers, tmp_path, name)


def test_the_example_of_a_gateway_has_the_ports_that_are_the_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    [block] = TOML.findall((ROOT / "docs/configuration.md").read_text())
    table = tomlfile.decode(block.encode(), "configuration.md")
    config = tomlfile.convert(table, GatewayConfig, base=tmp_path, where="configuration.md")
    listen = inspect.signature(fleet_cli.init).parameters["listen"].default
    assert config.fleet is not None
    assert config.fleet.address.rpartition(":")[2] == listen.rpartition(":")[2]
    assert config.metrics.port == MetricsConfig().port


def fields(kind: Any) -> dict[str, Any]:
    """The keys of a table of the configuration; none of anything else."""
    try:
        return {each.name: each.type for each in msgspec.structs.fields(kind)}
    except TypeError:
        return {}


def test_every_setting_is_in_the_table_of_what_is_applied_live():
    rows = re.findall(
        r"^\| (`.*?) \| (?:live|restart) \|",
        (ROOT / "docs/configuration.md").read_text(),
        re.MULTILINE,
    )
    named = {name for row in rows for name in re.findall(r"`([\w.*]+)`", row)}
    tables = {table: set(fields(kind)) for table, kind in fields(GatewayConfig).items()}
    settings = {f"{table}.{key}" for table, keys in tables.items() for key in keys}
    whole = {f"{table}.*" for table in tables} | set(tables)
    assert named <= settings | whole
    told = {
        f"{table}.{key}"
        for table, keys in tables.items()
        for key in keys
        if {table, f"{table}.*"} & named
    }
    assert settings - told - named == set()


DEVICE_COLUMNS = ("device", "driver", "link", "data", "alarms", "waves", "acknowledged", "verified")
PARITY = {"none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S"}


def device_rows() -> dict[str, dict[str, str]]:
    """The table of docs/devices.md, by driver."""
    rows = {}
    for line in (ROOT / "docs" / "devices.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if named := re.search(r"\[`(\w+)`\]", cells[1] if len(cells) > 1 else ""):
            rows[named[1]] = dict(zip(DEVICE_COLUMNS, cells, strict=True))
    return rows


def test_the_table_of_devices_has_a_row_for_each_driver():
    registered = {
        each.name
        for each in entry_points(group=plugins.GROUP)
        if each.dist is not None and each.dist.name == "wardgate"
    }
    assert set(device_rows()) == registered, "docs/devices.md has one row for each driver"


def line_settings(factory: Any) -> str | None:
    """The defaults of a serial driver's lines, as ``9600 8N1``; None for another driver."""
    for kind in get_type_hints(factory.config_type).values():
        for port in get_args(kind):
            if isinstance(port, type) and issubclass(port, BoundPort):
                each = port(device_id="one", port="/dev/one").settings()
                bits = f"{each.data_bits}{PARITY[each.parity]}{each.stop_bits}"
                return f"{each.baud_rate} {bits}"
    return None


def source(home: Path) -> str:
    """All code of a driver, with that of the payload that it may carry."""
    text = "\n".join(path.read_text() for path in home.rglob("*.py"))
    if "drivers.bedside" in text:
        text += (home.parent / "bedside" / "mapping.py").read_text()
    return text


@pytest.mark.parametrize("name", device_rows())
def test_the_table_of_devices_says_what_the_driver_does(name):
    row, factory = device_rows()[name], plugins.factory(name)
    (entry,) = entry_points(group=plugins.GROUP, name=name)
    home = ROOT / "drivers" / entry.module.split(".")[1]
    assert f"../drivers/{home.name}/README.md" in row["driver"]
    if settings := line_settings(factory):
        assert row["link"].startswith(f"serial {settings}")
    else:
        assert "serial" not in row["link"]
    makes = source(home)
    assert (row["waves"] != "no") == ("Waveform(" in makes)
    if row["alarms"] == "yes":
        assert "AlarmSnapshot(" in makes or "AlarmChange(" in makes
