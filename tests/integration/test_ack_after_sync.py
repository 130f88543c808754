"""The whole gateway under strace: no acknowledgement leaves before the fdatasync that covers it.

kill -9 cannot show a missing fsync, for the page cache survives the process. Two gateways that
break the promise, and doctored traces, show that the test can fail.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import Identities, make_identities
from tests.crash.coap_device import CoapDevice
from tests.crash.device import HABITS, Habit
from tests.crash.site import CrashSite, python
from tests.crash.trace import CALLS, Verdict, check, events

pytestmark = pytest.mark.timeout(240)
MESSAGES = 30


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    if subprocess.run([strace, "-D", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("ptrace is not allowed here")
    return make_identities(tmp_path_factory.mktemp("pki"), 1)


async def traced(
    directory: Path, identities: Identities, module: Sequence[str], habit: Habit
) -> Verdict:
    """One device sends one message at a time to a gateway under strace."""
    trace = directory / "trace"
    strace = ["strace", "-D", "-f", "-yy", "-s", "1", "-o", str(trace), "-e", f"trace={CALLS}"]
    launcher = [*strace, *python("-m", *module)]
    async with CrashSite(directory / "site", identities, launcher=launcher) as site:
        (device,) = site.devices([habit], Random(1))
        if isinstance(device, CoapDevice):
            device.patient = True  # a repetition is answered without a frame
        life = asyncio.create_task(device.run())
        async with asyncio.timeout(120):
            for _ in range(MESSAGES):
                await device.say(device.script.next())
        life.cancel()
        port = site.coaps if habit.coap else site.mqtt
    assert len(device.diary.acknowledged) == MESSAGES
    return await asyncio.to_thread(judge, trace, port)


def judge(trace: Path, port: int) -> Verdict:
    with trace.open(errors="replace") as lines:
        return check(lines, port)


@pytest.mark.parametrize("habit", [*HABITS[:2], HABITS[4]], ids=["qos 1", "qos 2", "coap"])
async def test_no_answer_leaves_before_its_sync(
    tmp_path: Path, identities: Identities, habit: Habit
) -> None:
    habit = replace(habit, rate=0)
    verdict = await traced(tmp_path, identities, ["wardgate"], habit)
    assert verdict.violations == []
    assert verdict.answers >= MESSAGES * habit.qos[0]  # PUBCOMP waits for a commit, too
    assert verdict.frames >= verdict.syncs >= verdict.answers - 1


@pytest.mark.parametrize(
    ("promise", "coap"), [("no-sync", False), ("early", False), ("early", True)]
)
async def test_a_gateway_that_answers_too_early_is_found_out(
    tmp_path: Path, identities: Identities, promise: str, coap: bool
) -> None:
    module = ["tests.crash.broken", promise]
    verdict = await traced(tmp_path, identities, module, Habit(coap=coap, rate=0))
    assert len(verdict.violations) >= MESSAGES


ASK = "7 read(9<TCP:[127.0.0.1:8883->127.0.0.1:50000]>, ..., 262144) = 120"
ANSWER = "7 write(9<TCP:[127.0.0.1:8883->127.0.0.1:50000]>, ..., 26) = 26"
WRITE = "8 pwrite64(5</j/telemetry/1.seg>, ..., 300, 64) = 300"
SYNC = "8 fdatasync(5</j/telemetry/1.seg>) = 0"
SYNC_BEGINS = "8 fdatasync(5</j/telemetry/1.seg> <unfinished ...>"
SYNC_ENDS = "8 <... fdatasync resumed>) = 0"
SYNC_FAILS = "8 <... fdatasync resumed>) = -1 EIO (Input/output error)"
OTHER_WRITE = "6 pwrite64(6</j/alarms/1.seg>, ..., 300, 64) = 300"
OTHER_SYNC = "6 fdatasync(6</j/alarms/1.seg>) = 0"
ELSEWHERE = "7 write(12<TCP:[127.0.0.1:40000->127.0.0.1:9000]>, ..., 900) = 900"


@pytest.mark.parametrize(
    ("trace", "good"),
    [
        ((ASK, WRITE, SYNC, ANSWER), True),
        ((ASK, WRITE, SYNC_BEGINS, ELSEWHERE, SYNC_ENDS, ANSWER), True),
        ((ASK, OTHER_WRITE, OTHER_SYNC, WRITE, SYNC, ANSWER), True),
        ((ASK, WRITE, ANSWER, SYNC), False),
        ((ASK, ANSWER, WRITE, SYNC), False),
        ((ASK, WRITE, ANSWER), False),
        ((ASK, ANSWER), False),
        ((WRITE, SYNC, ASK, ANSWER), False),
        ((ASK, SYNC, WRITE, ANSWER), False),
        ((ASK, WRITE, SYNC_BEGINS, ANSWER, SYNC_ENDS), False),
        ((ASK, WRITE, SYNC_BEGINS, SYNC_FAILS, ANSWER), False),
        ((ASK, WRITE, OTHER_SYNC, ANSWER), False),
        ((ASK, OTHER_WRITE, WRITE, SYNC, ANSWER), False),
        ((SYNC_BEGINS, ASK, WRITE.replace("8 ", "6 "), SYNC_ENDS, ANSWER), False),
    ],
)
def test_the_reader_of_traces(trace: Sequence[str], good: bool) -> None:
    verdict = check((ASK, ANSWER, *trace), 8883)  # the handshake comes first
    assert verdict.answers == 1
    assert bool(verdict.violations) is not good


ASK_COAP = (
    r'7 recvmsg(9<UDP:[127.0.0.1:5684]>, {msg_iov=[{iov_base="\27"..., iov_len=256000}]}, 0) = 155'
)
ANSWER_COAP = (
    r'7 sendmsg(9<UDP:[127.0.0.1:5684]>, {msg_iov=[{iov_base="\27"..., iov_len=43}]}, 0) = 43'
)
LATER_COAP = ANSWER_COAP.replace("43", "41")
HEARD_COAP = ASK_COAP.replace("155", "41")
HANDSHAKE = [line.replace(r"\27", r"\26") for line in (ASK_COAP, ANSWER_COAP)]


@pytest.mark.parametrize(
    ("trace", "good"),
    [
        ((ASK_COAP, WRITE, SYNC, ANSWER_COAP), True),
        ((ASK_COAP, LATER_COAP, WRITE, SYNC, ANSWER_COAP), True),
        ((ASK_COAP, WRITE, *HANDSHAKE, SYNC, ANSWER_COAP), True),
        ((ASK_COAP, WRITE, SYNC_BEGINS, LATER_COAP, SYNC_ENDS, ANSWER_COAP), True),
        ((ASK_COAP, WRITE, HEARD_COAP, SYNC, ANSWER_COAP), True),
        ((ASK_COAP, WRITE, HEARD_COAP, ANSWER_COAP, SYNC), False),
        ((ASK_COAP, ANSWER_COAP, WRITE, SYNC), False),
        ((ASK_COAP, WRITE, ANSWER_COAP, SYNC), False),
        ((ASK_COAP, WRITE, SYNC_BEGINS, ANSWER_COAP, SYNC_ENDS), False),
    ],
)
def test_the_reader_of_coap_traces(trace: Sequence[str], good: bool) -> None:
    verdict = check((*HANDSHAKE, *trace), 5684)
    assert verdict.answers == 1
    assert bool(verdict.violations) is not good


def test_lines_that_are_no_calls_are_passed_over() -> None:
    assert list(events(["7 --- SIGTERM {...} ---", "7 +++ exited with 0 +++", ""])) == []
