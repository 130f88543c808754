"""The core's commands and configuration, as an operator meets them."""

import json
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from core.cli import app
from core.config import load
from core.store import Offer, Store
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane
from gateway.tomlfile import address
from tests.ingest import NOW_US, reports

TLS = """[tls]
certificate = "c.pem"
key = "k.pem"
client_ca = "ca.pem"
trust_domain = "ward.test"
"""
HEAD = 'listen = "127.0.0.1:0"\ndatabase = "data/core.db"\n'


def write(folder, text):
    path = folder / "core.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path):
    config = load(write(tmp_path, HEAD + TLS))
    assert config.database == tmp_path / "data" / "core.db"
    assert config.tls.certificate == tmp_path / "c.pem"
    assert config.revocations == tmp_path / "data" / "core.db.revocations"
    assert config.fleet is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (HEAD + "speed = 3\n" + TLS, "speed"),
        (HEAD, "tls"),
        (HEAD + TLS + "[limits]\nstreams_max = 0\n", "limits"),
        ("listen = ", "TOML"),
    ],
)
def test_a_wrong_key_is_named_in_one_line_with_status_2(tmp_path, text, why):
    result = CliRunner().invoke(app, ["run", "--config", str(write(tmp_path, text))])
    assert result.exit_code == 2
    assert why in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("text", ["", "8080", "host:", ":80", "host:99999", "host:http"])
def test_an_address_is_host_and_port(text):
    with pytest.raises(ConfigError, match="listen"):
        address(text, "listen")


def test_an_address_may_be_of_either_family():
    assert address("[::1]:5", "listen") == ("::1", 5)
    assert address("127.0.0.1:0", "listen") == ("127.0.0.1", 0)


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "core.db"
    with closing(Store.open(path, lambda: NOW_US)) as store:
        store.ingest([Offer("gw-1", frozenset(Lane), reports(1, 30))])
    return path


def test_tail_shows_the_newest_readings(database):
    result = CliRunner().invoke(app, ["tail", "--database", str(database), "-n", "2", "--json"])
    assert result.exit_code == 0
    shown = [json.loads(line) for line in result.output.splitlines()]
    assert [(row["message_id"], row["refid"], row["value"]) for row in shown] == [
        ("5f3a:29", "MDC_ECG_HEART_RATE", 29),
        ("5f3a:29", "MDC_PULS_OXIM_SAT_O2", 97),
        ("5f3a:30", "MDC_ECG_HEART_RATE", 30),
        ("5f3a:30", "MDC_PULS_OXIM_SAT_O2", 97),
    ]


def test_tail_shows_a_table_to_people(database):
    result = CliRunner().invoke(app, ["tail", "--database", str(database), "-n", "1"])
    assert "MDC_ECG_HEART_RATE" in result.output
    assert "/min" in result.output


def test_tail_of_no_store_says_so(tmp_path):
    result = CliRunner().invoke(app, ["tail", "--database", str(tmp_path / "none.db")])
    assert result.exit_code == 2
    assert "no such store" in result.output


def test_tail_of_another_file_says_so(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    result = CliRunner().invoke(app, ["tail", "--database", str(path)])
    assert result.exit_code == 2
    assert "schema 0" in result.output
