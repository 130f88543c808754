"""A whole ward against a listening gateway: what it sends, logs, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from drivers.bedside.codec import Drip, Vitals, decode_json
from drivers.mqtt.codec.packets import Publish
from firmware_sim import device, endpoints, mqtt
from firmware_sim.endpoints import Address, Endpoints
from firmware_sim.links import link_maker
from firmware_sim.log import Log
from firmware_sim.replay import Replay
from firmware_sim.scenario import parse
from firmware_sim.ward import Ward
from firmware_sim.wfdb import read_record
from gateway.domain.errors import ConfigError
from security.pki import (
    Authority,
    Role,
    Subject,
    Validity,
    create_issuing,
    create_root,
    make_identity,
)
from tests.unit.sim.gateway import Gateway

NOW_US = 1_790_000_000_000_000
WARD = """
seed = 3
[[group]]
name = "mon"
kind = "monitor"
transport = "mqtt"
count = 2
interval_s = 0.02
mqtt = "{version}"
[[group]]
name = "drip"
kind = "drip"
transport = "mqtt"
interval_s = 0.02
"""


@pytest.fixture(autouse=True)
def fast_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S_MIN", 0.001)
    monkeypatch.setattr(mqtt, "BACKOFF_S_MAX", 0.01)
    monkeypatch.setattr(device, "GRACE_S", 60.0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Run:
    """A ward on a gateway, until a condition holds."""

    def __init__(self, gateway: Gateway, folder: Path, text: str, version: str = "5.0") -> None:
        self.gateway = gateway
        self.path = folder / "sim.jsonl"
        self.text = text.replace("{version}", version)
        self.where = Endpoints(mqtt=Address("127.0.0.1", gateway.port))
        self.replay: Replay | None = None

    async def until(self, condition: Callable[[], object]) -> None:
        with Log(self.path) as log:
            ward = Ward(
                parse(self.text.encode()), link_maker(self.where), log, lambda: NOW_US, self.replay
            )
            running = asyncio.ensure_future(ward.run())
            await self.gateway.until(condition)
            ward.stop()
            await running

    @property
    def log(self) -> list[dict[str, Any]]:
        return lines(self.path)

    @property
    def faults(self) -> list[dict[str, Any]]:
        return lines(self.path.with_name("sim.faults.jsonl"))

    def messages(self, device_id: str, kind: str = "vitals") -> list[Vitals | Drip]:
        topic = f"devices/{device_id}/{kind}"
        found = [
            decode_json(kind, packet.payload)
            for packet in self.gateway.published
            if packet.topic == topic
        ]
        return [each for each in found if isinstance(each, Vitals | Drip)]


def sent_by(gateway: Gateway, device_id: str) -> list[Publish]:
    return [packet for packet in gateway.published if f"/{device_id}/" in packet.topic]


@pytest.mark.parametrize("version", ["3.1.1", "5.0"])
async def test_every_message_is_numbered_logged_and_acknowledged(
    tmp_path: Path, version: str
) -> None:
    async with Gateway() as gateway:
        run = Run(gateway, tmp_path, WARD, version)
        await run.until(lambda: len(gateway.published) >= 30)
        for device_id, kind in (("mon-001", "vitals"), ("mon-002", "vitals"), ("drip-001", "drip")):
            messages = run.messages(device_id, kind)
            assert [message.n for message in messages] == list(range(len(messages)))
            assert len({message.boot for message in messages}) == 1
            assert {message.t for message in messages} == {NOW_US // 1000}
            logged = {
                (line["message_id"], line["outcome"])
                for line in run.log
                if line["device"] == device_id
            }
            ids = {f"{message.boot}:{message.n}" for message in messages}
            assert logged == {(each, word) for each in ids for word in ("sent", "acknowledged")}
        settled = [line for line in run.log if line["outcome"] == "acknowledged"]
        assert all(line["acknowledged_us"] == NOW_US for line in settled)
        assert all(line["transport"] == "mqtt" for line in run.log)
        assert sorted(gateway.said_goodbye) == ["drip-001", "mon-001", "mon-002"]


async def test_two_runs_of_one_seed_differ_in_boot_alone(tmp_path: Path) -> None:
    def enough(gateway: Gateway) -> bool:
        return len(sent_by(gateway, "mon-001")) >= 5

    seen = []
    for _ in range(2):
        async with Gateway() as gateway:
            run = Run(gateway, tmp_path, WARD)
            await run.until(partial(enough, gateway))
            seen.append(run.messages("mon-001")[:5])
    first, second = seen
    assert first[0].boot != second[0].boot
    assert [each.hr for each in first if isinstance(each, Vitals)] == [
        each.hr for each in second if isinstance(each, Vitals)
    ]


async def test_what_is_not_acknowledged_is_given_up_after_the_grace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "GRACE_S", 0.05)
    async with Gateway() as gateway:
        gateway.acknowledge = False
        run = Run(gateway, tmp_path, WARD)
        await run.until(lambda: len(gateway.published) >= 6)
        last = {(line["device"], line["message_id"]): line for line in run.log}
        assert {line["outcome"] for line in last.values()} == {"given_up"}
        assert {line["acknowledged_us"] for line in last.values()} == {None}


async def test_a_device_keeps_no_more_than_its_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "OUTSTANDING_MAX", 4)
    monkeypatch.setattr(device, "GRACE_S", 0.05)
    async with Gateway() as gateway:
        gateway.acknowledge = False
        run = Run(gateway, tmp_path, WARD)
        await run.until(lambda: len(gateway.published) >= 12)
        made = {line["message_id"] for line in run.log if line["device"] == "mon-001"}
        assert len(made) == 4


async def test_duplicates_repeat_the_message_under_its_id(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "duplicates"\ndevice = "mon-001"\nfor_s = 60\n'
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(sent_by(gateway, "mon-001")) >= 8)
        payloads = [packet.payload for packet in sent_by(gateway, "mon-001")]
        assert any(payloads.count(payload) == 2 for payload in payloads)
        again = [line for line in run.log if line.get("fault") == "duplicates"]
        originals = {line["message_id"] for line in run.log if "fault" not in line}
        assert again
        assert {line["message_id"] for line in again} <= originals
        assert {line["device"] for line in again} == {"mon-001"}


async def test_a_silent_device_says_nothing_and_the_others_go_on(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "silence"\ndevice = "mon-001"\nfor_s = 60\n'
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(sent_by(gateway, "mon-002")) >= 20)
        assert len(sent_by(gateway, "mon-001")) <= 1
        assert [line["outcome"] for line in run.faults] == ["begins", "ends"]


async def test_garbage_is_no_payload_and_stays_out_of_the_account(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "garbage"\ndevice = "mon-001"\nevery_s = 0.01\nfor_s = 60\n'
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(gateway.published) >= 40)
        tried = [line for line in run.faults if line["outcome"] == "acknowledged"]
        assert tried
        good = {line["message_id"] for line in run.log if line["device"] == "mon-001"}
        assert len(sent_by(gateway, "mon-001")) >= len(good) + len(tried)
        assert "" not in good


async def test_a_drifting_clock(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "clock_drift"\ndevice = "mon-001"\noffset_s = -90\nfor_s = 60\n'
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(sent_by(gateway, "mon-001")) >= 5)
        assert run.messages("mon-001")[-1].t == NOW_US // 1000 - 90_000
        assert {message.t for message in run.messages("mon-002")} == {NOW_US // 1000}


async def test_an_excursion_holds_a_value_and_a_clamp_stops_the_flow(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = (
            '[[fault]]\nkind = "excursion"\ndevice = "mon-001"\nvalue = 180\nfor_s = 60\n'
            '[[fault]]\nkind = "clamp"\ndevice = "drip-001"\nvalue = 0\nfor_s = 60\n'
        )
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(gateway.published) >= 20)
        last = run.messages("mon-001")[-1]
        assert isinstance(last, Vitals)
        assert last.hr == 180
        drip = run.messages("drip-001", "drip")[-1]
        assert isinstance(drip, Drip)
        assert drip.clamp == "closed"


async def test_a_trespasser_publishes_on_anothers_topic(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "foreign_topic"\ndevice = "mon-001"\nevery_s = 0.01\n'
        run = Run(gateway, tmp_path, WARD + fault)

        def trespassed() -> bool:
            boots = {
                decode_json("vitals", packet.payload).boot
                for packet in gateway.published
                if packet.topic.endswith("/vitals")
            }
            return len(boots) > 2 or len({p.topic for p in gateway.published}) > 3

        def admitted() -> list[dict[str, Any]]:
            return [line for line in run.faults if line["outcome"] == "admitted"]

        # This gateway admits it, and the log must say so, once its answer is there.
        await run.until(lambda: trespassed() and admitted())
        tried = admitted()
        ids = {line["detail"].split()[1] for line in tried}
        assert ids.isdisjoint(line["message_id"] for line in run.log)


async def test_a_reconnect_storm_loses_nothing(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        fault = '[[fault]]\nkind = "reconnect_storm"\nevery_s = 0.02\nfor_s = 60\n'
        run = Run(gateway, tmp_path, WARD + fault)
        await run.until(lambda: len(gateway.connects) >= 12 and len(gateway.published) >= 30)
        last = {(line["device"], line["message_id"]): line["outcome"] for line in run.log}
        assert set(last.values()) == {"acknowledged"}


def write_record(folder: Path) -> Path:
    """Three samples of a heart rate, the last one missing."""
    samples = [0, 735, -32768]
    line = f"r.dat 16 10/bpm 16 0 0 {sum(samples) & 0xFFFF} 0 HR"
    (folder / "r.hea").write_text(f"r 1 1 3\n{line}\n")
    data = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    (folder / "r.dat").write_bytes(data)
    return folder / "r"


async def test_a_gateway_that_is_away_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        gateway.vanish()  # the ward is switched on first
        run = Run(gateway, tmp_path, WARD)

        async def come_and_go() -> None:
            await gateway.listen()
            await gateway.until(lambda: len(gateway.published) >= 12)
            gateway.vanish()
            await asyncio.sleep(0.1)  # the ward measures on
            await gateway.listen()

        life = asyncio.ensure_future(come_and_go())
        await run.until(lambda: len(gateway.connects) >= 6 and len(gateway.published) >= 40)
        await life
        last = {(line["device"], line["message_id"]): line["outcome"] for line in run.log}
        assert set(last.values()) == {"acknowledged"}
        for device_id in ("mon-001", "mon-002"):
            numbers = {message.n for message in run.messages(device_id)}
            assert numbers == set(range(len(numbers)))


async def test_a_replay_numbers_messages_by_sample_and_ends(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        run = Run(gateway, tmp_path, WARD)
        run.replay = Replay(read_record(write_record(tmp_path)))
        await run.until(lambda: sorted(gateway.said_goodbye) == ["mon-001", "mon-002"])
        for device_id in ("mon-001", "mon-002"):
            got = [(m.n, m.hr) for m in run.messages(device_id) if isinstance(m, Vitals)]
            assert got == [(0, 0.0), (1, 73.5), (2, None)]


async def test_a_ward_of_recordings_ends_with_them(tmp_path: Path) -> None:
    async with Gateway() as gateway:
        text = WARD.replace("{version}", "5.0").partition('[[group]]\nname = "drip"')[0]
        where = Endpoints(mqtt=Address("127.0.0.1", gateway.port))
        replay = Replay(read_record(write_record(tmp_path)))
        with Log(tmp_path / "sim.jsonl") as log:
            scenario = parse(text.encode() + b'[[fault]]\nkind = "duplicates"\nfor_s = 60\n')
            await Ward(scenario, link_maker(where), log, lambda: NOW_US, replay).run()
        assert {line["message_id"][-2:] for line in lines(tmp_path / "sim.jsonl")} == {
            ":0",
            ":1",
            ":2",
        }


def pki(folder: Path) -> tuple[Authority, ssl.SSLContext]:
    """The ward's certificates below ``folder``, and the gateway's own context."""
    now = datetime.now(UTC)
    days = Validity.days(now, 1)
    issuing = create_issuing(create_root("test.internal", now), now)
    other = create_issuing(create_root("test.internal", now), now)
    for name in ("mon-001", "mon-002", "drip-001"):
        make_identity(issuing, Subject(Role.DEVICE, name), folder / "devices" / name, days)
    gateway = Subject(Role.GATEWAY, "gw", ("localhost", "127.0.0.1"))
    files, _ = make_identity(issuing, gateway, folder / "gateway", days)
    make_identity(other, Subject(Role.DEVICE, "x"), folder / "stranger", days)
    expired = Validity.days(now, -1)
    make_identity(issuing, Subject(Role.DEVICE, "y"), folder / "expired", expired)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    context.load_verify_locations(files.trust)
    context.verify_mode = ssl.CERT_REQUIRED
    return issuing, context


def write_endpoints(folder: Path, port: int) -> Path:
    def pair(name: str) -> dict[str, str]:
        return {"cert": f"{name}/cert.pem", "key": f"{name}/key.pem"}

    path = folder / "endpoints.json"
    path.write_text(
        json.dumps(
            {
                "mqtt": {"host": "127.0.0.1", "port": port},
                "ca": "gateway/ca.pem",
                "devices": "devices",
                "stranger": pair("stranger"),
                "expired": pair("expired"),
                "gateway_pid": 1,
            }
        )
    )
    return path


async def test_only_a_certificate_of_the_ward_gets_in(tmp_path: Path) -> None:
    _, context = pki(tmp_path)
    async with Gateway(context) as gateway:
        fault = "".join(
            f'[[fault]]\nkind = "{kind}"\ndevice = "mon-001"\nevery_s = 0.05\nfor_s = 60\n'
            for kind in ("stranger", "expired", "no_certificate")
        )
        run = Run(gateway, tmp_path, WARD + fault)
        run.where = endpoints.load(write_endpoints(tmp_path, gateway.port))

        def attacked() -> bool:
            tried = [line["fault"] for line in run.faults if line["outcome"] == "refused"]
            return set(tried) == {"stranger", "expired", "no_certificate"}

        await run.until(attacked)
        assert not [line for line in run.faults if line["outcome"] == "admitted"]
        assert sorted({each.client_id for each in gateway.connects}) == [
            "drip-001",
            "mon-001",
            "mon-002",
        ]
        assert len(gateway.connects) == 3


def test_a_device_without_a_certificate_stops_the_ward_before_it_starts(tmp_path: Path) -> None:
    where = Endpoints(ca=tmp_path, devices=tmp_path, mqtt=Address("127.0.0.1", 1))
    with (
        Log(tmp_path / "sim.jsonl") as log,
        pytest.raises(ConfigError, match="mon-001 has no certificate"),
    ):
        Ward(parse(WARD.replace("{version}", "5.0").encode()), link_maker(where), log, lambda: 0)


async def test_the_command_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    _, context = pki(tmp_path)
    (tmp_path / "ward.toml").write_text(WARD.replace("{version}", "3.1.1"))
    async with Gateway(context) as gateway:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "firmware_sim",
            *("--scenario", str(tmp_path / "ward.toml")),
            *("--endpoints", str(write_endpoints(tmp_path, gateway.port))),
            *("--log", str(tmp_path / "sim.jsonl")),
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        before_us = time.time_ns() // 1000
        await gateway.until(lambda: len(gateway.published) >= 10)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    last = {(line["device"], line["message_id"]): line for line in lines(tmp_path / "sim.jsonl")}
    assert len(last) >= 10
    assert {line["outcome"] for line in last.values()} == {"acknowledged"}
    assert all(line["acknowledged_us"] >= line["sent_us"] for line in last.values())
    assert all(abs(line["sent_us"] - before_us) < 60e6 for line in last.values())


async def test_a_wrong_scenario_is_one_line_and_exit_code_two(tmp_path: Path) -> None:
    (tmp_path / "ward.toml").write_text("sead = 1")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "firmware_sim",
        *("--scenario", str(tmp_path / "ward.toml"), "--endpoints", "none", "--log"),
        str(tmp_path / "sim.jsonl"),
        cwd=Path(__file__).parents[3],
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.count(b"\n") == 1
    assert b"sead" in said
