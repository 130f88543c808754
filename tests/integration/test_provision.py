"""Five hundred pumps in a morning: `device provision`, killed and run again."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
import segno
from cryptography.hazmat.primitives.hashes import SHA256

from fleet import handout
from fleet.provision_files import RESULT_COLUMNS, Results, read_table
from gateway.domain.errors import ConfigError
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from tests.integration.fleet_process import Fleet

PUMPS = 500
KILLED = """
import os, pathlib, runpy, signal, sys, threading, time
out, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def watch():
    while not out.exists() or out.read_bytes().count(b"\\n") <= rows:  # one is the heading
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.argv[1:] = sys.argv[3:]
runpy.run_module("fleet", run_name="__main__", alter_sys=True)
"""
"""``python -m fleet ARGUMENTS``, killed after so many rows from within: whoever looks from outside
may be held up until all are done."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.start()
    yield made
    made.close()


def table(path, ids, head="id,kind,ward,bed,transport,firmware", more=",drip,icu,7,mqtt,1.0"):
    path.write_text("\n".join([head, *(f"{each}{more}" for each in ids)]) + "\n")
    return str(path)


def results(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def credentials(fleet, device_id):
    request = pb.GetDeviceRequest(device_id=device_id)
    with fleet.client() as client:
        return client.call("GetDevice", request, pb.GetDeviceResponse).device.credentials


def test_five_hundred_pumps_with_a_kill_between(fleet, tmp_path):
    """No row twice, none forgotten."""
    ids = [f"pump-{number:03}" for number in range(PUMPS)]
    path = tmp_path / "pumps.csv"
    words = ("device", "provision", table(path, ids))
    out = tmp_path / "pumps.results.csv"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(PUMPS // 5), *words],
        env={**os.environ, **fleet._environment(None)},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with out.open("ab") as file:  # what a power cut may leave
        file.write(b"499,pump-499,token,half-a-li")
    first = {row["id"]: row["token"] for row in results(out) if row["token"] != "half-a-li"}
    assert PUMPS // 5 <= len(first) < PUMPS
    done = fleet.command(*words)
    assert f"{PUMPS} of {PUMPS} devices done, 0 failed" in done.stdout
    rows = results(out)
    assert sorted(row["id"] for row in rows) == ids
    assert {row["result"] for row in rows} == {"token"}
    assert len({row["token"] for row in rows}) == PUMPS
    assert {key: row["token"] for row in rows if (key := row["id"]) in first} == first
    assert out.stat().st_mode & 0o777 == 0o600
    again = fleet.command(*words)
    assert f"{PUMPS} of {PUMPS}" in again.stdout
    assert results(out) == rows


def test_bundles_survive_lost_results(fleet, tmp_path):
    path = tmp_path / "more.csv"
    words = ("device", "provision", table(path, ["a-1", "a-2"]), "--bundles", str(tmp_path / "b"))
    fleet.command(*words)
    out = tmp_path / "more.results.csv"
    leaf = (tmp_path / "b" / "a-1" / "cert.pem").read_bytes()
    out.write_text(out.read_text().splitlines()[0] + "\n")  # every result is gone
    (tmp_path / "b" / "a-1" / "cert.pem").unlink()
    fleet.command(*words)
    assert (tmp_path / "b" / "a-1" / "cert.pem").read_bytes() == leaf
    assert len(credentials(fleet, "a-1")) == 1
    assert {row["result"] for row in results(out)} == {"bundle"}
    pki.load_key(tmp_path / "b" / "a-2" / "key.pem")


def test_bad_rows_are_told_by_line_and_the_others_done(fleet, tmp_path):
    fleet.command("device", "add", "known-1", "--kind", "monitor")
    path = tmp_path / "mixed.csv"
    path.write_text(
        "id;kind;transport\n"
        "good-1;drip;mqtt\n"
        "not an id;drip;mqtt\n"
        "\n"
        "good-1;drip;mqtt\n"
        "good-2;drip\n"
        "good-3;drip;pigeon\n"
        "known-1;drip;mqtt\n"
        "bed-1;monitor;serial\n"
    )
    done = fleet.command("device", "provision", str(path), check=False)
    assert done.returncode == 1
    told = [line.split(": ", 2)[0].rpartition(" ")[2] for line in done.stderr.splitlines()]
    assert [each for each in told if each.isdigit()] == ["3", "5", "6", "7", "8"]
    kept = {row["id"]: row["result"] for row in results(tmp_path / "mixed.results.csv")}
    assert (kept["good-1"], kept["bed-1"]) == ("token", "registered")
    # Put right and run again: what was done stays.
    path.write_text(path.read_text().replace("pigeon", "mqtt"))
    fleet.command("device", "provision", str(path), check=False)
    kept = {row["id"]: row["result"] for row in results(tmp_path / "mixed.results.csv")}
    assert kept["good-3"] == "token"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1"),
        ("name,kind\n", "no column 'name'"),
        ("kind,ward\n", "needs a column id"),
        ("id,id\n", "each once"),
        ('id,kind\na,"b\n', "line"),
    ],
)
def test_a_table_with_a_wrong_head_is_refused(tmp_path, content, words):
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_table(path)
    path.write_bytes(b"id\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_table(path)
    with pytest.raises(ConfigError):
        read_table(tmp_path / "none.csv")


def test_a_table_from_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes("\ufeffID;Ward\r\npump-1; Intensiv, Süd \r\n".encode())
    rows, bad = read_table(path)
    assert [dict(row.words) for row in rows] == [{"id": "pump-1", "ward": "Intensiv, Süd"}]
    assert bad == []


def test_two_runs_do_not_write_one_file(tmp_path):
    path = tmp_path / "out.csv"
    with Results(path), pytest.raises(ConfigError, match="another run"):
        Results(path)
    assert path.read_text().strip() == ",".join(RESULT_COLUMNS)
    other = tmp_path / "other.csv"
    other.write_text("my,precious,data\n")
    with pytest.raises(ConfigError, match="not a results file"):
        Results(other)
    assert other.read_text() == "my,precious,data\n"


def test_a_service_that_is_away_ends_the_run(fleet, tmp_path):
    path = tmp_path / "later.csv"
    words = ("provision", table(path, ["later-1"]), "--fleet", "localhost:1")
    done = fleet.command("device", *words, check=False)
    assert done.returncode == 2
    assert "can't reach" in done.stderr
    assert results(tmp_path / "later.results.csv") == []


def test_adding_a_device_shows_its_token(fleet):
    shown = fleet.command("device", "add", "pump-t1", "--kind", "drip").stdout
    assert "token    " in shown
    assert f"https://127.0.0.1:{fleet.est_port}/.well-known/est" in shown
    assert "\u2588" in shown or "\u2584" in shown
    plain = fleet.command("device", "add", "pump-t2", "--no-qr").stdout
    assert "\u2588" not in plain
    said = json.loads(fleet.command("device", "add", "pump-t3", "--json").stdout)
    root = pki.load_certificates(fleet.directory / "service" / "ca.pem")[0]
    assert said["enrolment"] == {
        "v": 1,
        "est": said["est_url"],
        "id": "pump-t3",
        "token": said["token"],
        "ca": root.fingerprint(SHA256()).hex(),
    }
    renewed = json.loads(fleet.command("device", "add", "pump-t3", "--renew", "--json").stdout)
    assert renewed["token"] != said["token"]
    serial = fleet.command("device", "add", "bed-t4", "--transport", "serial").stdout
    assert "token" not in serial
    both = fleet.command("device", "add", "x", "--manufacturer", "acme", check=False)
    assert both.returncode == 2


def test_the_qr_code_shows_the_documented_content(fleet):
    added = pb.AddDeviceResponse(token="t", est_url="https://f/.well-known/est")
    added.device.device_id = "pump-1"
    added.root_pem = (fleet.directory / "service" / "ca.pem").read_bytes()
    text = json.dumps(handout.content(added), separators=(",", ":"))
    halves = {"\u2588": (0, 0), " ": (1, 1), "\u2580": (0, 1), "\u2584": (1, 0)}  # 1 is dark
    drawn = []
    for line in handout.qr_code(added).splitlines():
        drawn += [list(row) for row in zip(*(halves[each] for each in line), strict=True)]
    modules = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=4)]
    assert drawn[: len(modules)] == modules
