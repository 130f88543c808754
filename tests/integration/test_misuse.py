"""Identities misused, followed to the end: gateways, fleet and core as processes.

What is told of a device must be in the core's store, the device kept out, the gateway's audit log
and metrics say so; with others' clients (mosquitto, libcoap, openssl) wherever there are any.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from typing import NamedTuple

import pytest

from attack import misuse
from attack.channel import context
from attack.mqtt import Client, RefusedError
from attack.outcome import Word
from attack.probe import Probes
from attack.target import Address, load
from demo.plan import free_ports
from drivers.mqtt.codec.packets import Connect
from security.suspicions import REFUSALS
from tests.integration import ward

CLIENTS = ("mosquitto_pub", "coap-client-openssl", "openssl")
pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        not all(map(shutil.which, CLIENTS)), reason="needs mosquitto's and libcoap's clients"
    ),
]
WAIT_S = 60.0
"""On a machine that does other things meanwhile."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    with ward.running(directory) as running:
        yield Site(running, directory)


def known(running, state, device_id, **facts):
    """Wait until a gateway has heard so of a device from the fleet.

    Before that it admits the device without kind and bed, and has it come again when it knows them:
    a session, or an attempt, may end in the middle.
    """

    def there():
        listed = json.loads((state / "directory.json").read_text())["devices"]
        return any({"device_id": device_id, **facts}.items() <= each.items() for each in listed)

    running.wait_for(there, WAIT_S)


class KnownProbes(Probes):
    """Devices that the gateway knows as soon as they are there."""

    running: ward.RunningWard

    def enrol(self):
        holder = super().enrol()
        known(self.running, self.running.state / "gateway", holder.device_id)
        return holder


class Site:
    """A demo, and devices of our own in it."""

    def __init__(self, running, directory):
        self.running, self.directory = running, directory
        self.target = load(running.state / "endpoints.json")
        made = KnownProbes.of(self.target, directory)
        assert isinstance(made, KnownProbes)
        made.running = running
        self.probes = made
        self.attacks = misuse.Attacks(self.target, self.probes)

    @property
    def endpoints(self):
        return self.running.endpoints

    def cli(self, *arguments):
        done = subprocess.run(
            [*self.endpoints["cli"], *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def alarmed(self, device_id, condition):
        """The core holds this alarm of this device."""
        query = "SELECT kind, source FROM alarms WHERE device_id = ? AND condition = ?"
        rows = self.running.wait_for(lambda: self.running.rows(query, device_id, condition), WAIT_S)
        return set(rows) == {("technical", "gateway")}

    def counted(self, of, sample):
        """A sample of the metrics that a process shows."""
        with urllib.request.urlopen(self.endpoints["metrics"][of], timeout=WAIT_S) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def audited(self, of, **fields):
        """An entry of an audit log has these fields, or soon does."""
        (log,) = self.running.state.glob(f"{of}/audit/audit.log")

        def there():
            entries = [json.loads(line) for line in log.read_text().splitlines()]
            return any(fields.items() <= entry.items() for entry in entries)

        return self.running.wait_for(there, WAIT_S)

    def mosquitto(self, holder, *more):
        """One report by mosquitto_pub; its exit code."""
        return subprocess.run(
            [
                *("mosquitto_pub", "-h", "localhost", "-p", str(self.target.mqtt.port)),
                *("--cafile", str(self.target.ca), "--cert", str(holder.cert)),
                *("--key", str(holder.key), "-q", "1", "-m", '{"v":1}', *more),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        ).returncode

    def libcoap(self, holder):
        """One report by libcoap's client; what it says."""
        path = f"/devices/{holder.device_id}/vitals"
        return subprocess.run(
            [
                *("coap-client-openssl", "-v", "6", "-B", "5", "-m", "post", "-t", "50"),
                *("-c", holder.cert, "-j", holder.key, "-R", self.target.ca, "-e", '{"v":1}'),
                f"coaps://127.0.0.1:{self.target.coaps.port}{path}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=WAIT_S,
        ).stdout


def refusals(entry_of):
    """A gateway's counter of refusals."""
    reason, transport = entry_of
    return f'wardgate_refused_total{{reason="{reason}",transport="{transport}"}}'


@pytest.mark.parametrize("transport", ["mqtt", "coap"])
def test_a_copied_certificate_is_alarmed_at_the_core_and_kept_out(site, transport):
    attack = {"mqtt": site.attacks.copy_over_mqtt, "coap": site.attacks.copy_over_coap}[transport]
    before = site.counted("gateway", refusals(("clone", transport)))
    seen = attack()
    assert seen.word in {Word.REFUSED, Word.CLOSED}, seen
    holder = site.attacks.copied
    assert site.alarmed(holder.device_id, "clone_suspected")
    assert site.counted("gateway", refusals(("clone", transport))) > before
    assert site.audited("gateway", reason="clone", transport=transport, device=holder.device_id)
    # Kept out on this transport and the other one, and not by its address.
    assert site.mosquitto(
        holder, "-i", holder.device_id, "-t", f"devices/{holder.device_id}/vitals"
    )
    assert "c:2.04" not in site.libcoap(holder)
    for each in ("mqtt", "coap"):
        assert site.audited("gateway", reason="suspended", device=holder.device_id, transport=each)


def test_a_device_that_names_itself_another_is_alarmed_at_the_core(site):
    holder = site.probes.enrol()
    other = site.target.other_device
    site.attacks.admitted(holder, context(holder)).close()
    topic = ("-t", f"devices/{other}/vitals")
    for attempt in range(REFUSALS):  # each refused, by client id and by topic in turns
        name = (other, holder.device_id)[attempt % 2]
        site.mosquitto(holder, "-V", "mqttv5", "-i", name, *topic)
    assert site.alarmed(holder.device_id, "identity_misused")
    fields = {"reason": "identity_mismatch", "device": holder.device_id, "transport": "mqtt"}
    assert site.audited("gateway", **fields)
    # Whoever only names itself wrongly is not kept out under its own name.
    own = ("-i", holder.device_id, "-t", f"devices/{holder.device_id}/vitals")
    assert site.mosquitto(holder, *own) == 0


def test_a_device_that_comes_another_way_is_alarmed_at_the_core(site):
    holder = site.probes.enrol()
    site.cli("device", "update", holder.device_id, "--transport", "coaps")
    known(site.running, site.running.state / "gateway", holder.device_id, transport="coaps")
    site.running.wait_for(lambda: "c:2.04" in site.libcoap(holder), WAIT_S)
    own = ("-i", holder.device_id, "-t", f"devices/{holder.device_id}/vitals")
    for _ in range(REFUSALS):
        assert site.mosquitto(holder, *own)
    assert site.alarmed(holder.device_id, "wrong_transport")
    assert site.audited("gateway", reason="wrong_transport", device=holder.device_id)


@contextlib.contextmanager
def second_gateway(site):
    """Another gateway of the same fleet and core, as a process; its MQTT port."""
    files = site.directory / "gw-two"
    plan = site.running.state
    config = plan / "fleet" / "fleet.toml"
    hosts = ("--host", "localhost")
    site.cli("ca", "issue", "gateway", "gw-two", *hosts, "--config", config, "--out", files)
    text = (plan / "gateway.toml").read_text().partition("[drivers.hl7]")[0]
    old, new = site.endpoints, free_ports(3)
    metrics = int(old["metrics"]["gateway"].rpartition(":")[2].partition("/")[0])
    changes = {
        'name = "gw-demo"': 'name = "gw-two"',
        f'state_dir = "{plan / "gateway"}"': f'state_dir = "{files / "state"}"',
        f":{old['mqtt']['port']}": f":{new[0]}",
        f":{old['coaps']['port']}": f":{new[1]}",
        f"port = {metrics}": f"port = {new[2]}",
        str(plan / "pki" / "gw-demo"): str(files),
    }
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    ours = plan / "gateway-two.toml"
    ours.write_text(text)
    (files / "state").mkdir(mode=0o700)
    with (site.directory / "gw-two.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wardgate", "gateway", "run", "--config", str(ours)],
            stdout=log,
            stderr=log,
        )
    try:
        yield Address("127.0.0.1", new[0])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0, (site.directory / "gw-two.log").read_text()[-2000:]


class Speaker:
    """A device at one gateway, that reports ten times a second until it is stopped."""

    def __init__(self, holder, address):
        self._holder, self._address = holder, address
        self._stop = threading.Event()
        self.failure = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        holder, number = self._holder, 0
        try:
            with contextlib.closing(Client(self._address, context(holder))) as client:
                client.sock.settimeout(WAIT_S)
                client.connect(Connect(holder.device_id, keep_alive_s=60))
                while not self._stop.wait(0.1):
                    number += 1
                    words = b'{"v":1,"boot":"%x","n":%d,"hr":72}' % (self._address.port, number)
                    client.publish(f"devices/{holder.device_id}/vitals", words, number % 60_000 + 1)
        except (OSError, RefusedError) as error:
            self.failure = repr(error)

    def stop(self):
        self._stop.set()
        self._thread.join(WAIT_S)


def test_one_identity_behind_two_gateways_is_found_by_the_fleet(site):
    holder = site.probes.enrol()
    with second_gateway(site) as there:
        known(site.running, site.directory / "gw-two" / "state", holder.device_id)
        for address in (site.target.mqtt, there):
            site.running.wait_for(lambda at=address: _answers(holder, at), WAIT_S)
        speakers = [Speaker(holder, address) for address in (site.target.mqtt, there)]
        try:

            def shown():
                assert [each.failure for each in speakers] == ["", ""]
                return site.cli("device", "show", holder.device_id, "--json")

            # It is degraded, and nobody cuts a patient's device off for it.
            site.running.wait_for(lambda: {"clone", "DEGRADED"} <= _words(shown()), WAIT_S)
            sample = 'wardgate_fleet_device_faults{fault="clone"}'
            site.running.wait_for(lambda: site.counted("fleet", sample) == 1, WAIT_S)
            assert site.audited("fleet/state", event="clone_suspected", device=holder.device_id)
            # What is left to the security officer reaches both.
            site.cli("device", "revoke", holder.device_id)
            site.running.wait_for(lambda: all(each.failure for each in speakers), WAIT_S)
        finally:
            for each in speakers:
                each.stop()


def _words(text):
    return set(re.findall(r"[A-Za-z]+", text))


def _answers(holder, address):
    with contextlib.closing(Client(address, context(holder))) as client:
        client.connect(Connect(holder.device_id, keep_alive_s=60))
    return True


# Sessions from before a revocation, by openssl


class Openssl:
    """``openssl s_client`` at one listener, as one device."""

    def __init__(self, site, port, holder, version):
        self.command = [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", f"-{version}"),
            *("-CAfile", site.target.ca, "-cert", holder.cert, "-key", holder.key),
            *("-cert_chain", holder.cert),
        ]

    def ask(self, question, *options):
        """What it says, and whether the answer of somebody who is let in is among it."""
        command = [*map(str, (*self.command, *options)), "-ign_eof"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(WAIT_S, process.kill)
            timer.start()
            said, answered = b"", False
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(question.words)
                process.stdin.flush()
            while piece := os.read(process.stdout.fileno(), 65_536):
                said += piece
                if not answered and question.answer.search(said):
                    answered = True
                    process.stdin.write(question.farewell)
                    process.stdin.flush()
            timer.cancel()
        return said, answered

    def renegotiate(self):
        """What it says of a second handshake in the same connection."""
        with subprocess.Popen(
            [*map(str, self.command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            timer = threading.Timer(WAIT_S, process.kill)
            timer.start()
            process.stdin.write(b"R\n")
            process.stdin.flush()
            said = process.stdout.read()  # to its end: it is not asked to end
            timer.cancel()
        return said, process.returncode


class Question(NamedTuple):
    """What to ask, how the answer to somebody who is let in looks, how to part."""

    words: bytes
    answer: re.Pattern[bytes]
    farewell: bytes = b""


QUESTIONS = {
    # CONNECT of 5.0 without a client id, so that the certificate alone speaks; CONNACK.
    "mqtt": Question(
        bytes.fromhex("100d00044d5154540502003c000000"),
        re.compile(rb"\x20[\x03-\x7f]\x00\x00", re.DOTALL),
        bytes.fromhex("e000"),
    ),
    # A renewal whose request is none: whoever may renew is told that, whoever may not is not.
    "est": Question(
        b"POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        b"Content-Type: application/pkcs10\r\nContent-Length: 4\r\n\r\nAAAA",
        re.compile(rb"HTTP/1\.1 400"),
    ),
}


@pytest.mark.parametrize("place", QUESTIONS)
@pytest.mark.parametrize("version", ["tls1_2", "tls1_3"])
def test_openssl_gets_nothing_by_a_session_from_before_the_revocation(site, place, version):
    holder = site.probes.enrol()
    site.attacks.admitted(holder, context(holder)).close()
    question = QUESTIONS[place]
    port = getattr(site.target, place).port
    client = Openssl(site, port, holder, version)
    kept = site.directory / f"{holder.device_id}.session"
    fresh, answered = client.ask(question, "-sess_out", kept)
    assert b"\nNew, " in fresh
    assert answered
    if version == "tls1_3":
        assert not kept.exists()  # there was no ticket
        return
    # It can be resumed, and what it is worth is asked again each time.
    resumed, answered = client.ask(question, "-sess_in", kept)
    assert b"\nReused, " in resumed
    assert answered
    site.probes.revoke(holder.device_id)
    own = ("-i", holder.device_id, "-t", f"devices/{holder.device_id}/vitals")
    site.running.wait_for(lambda: site.mosquitto(holder, *own), WAIT_S)
    after, answered = client.ask(question, "-sess_in", kept)
    assert b"\nReused, " in after
    assert not answered


def test_openssl_finds_nothing_to_resume_over_dtls(site):
    kept = site.directory / "dtls.session"
    client = Openssl(site, site.target.coaps.port, site.target.spare, "dtls1_2")
    command = [*map(str, client.command), "-sess_out", str(kept)]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=WAIT_S)
    assert b"\nNew, " in done.stdout
    assert b"Session-ID: \n" in done.stdout
    assert not kept.exists()


@pytest.mark.parametrize(
    ("place", "version"), [("mqtt", "tls1_2"), ("est", "tls1_2"), ("coaps", "dtls1_2")]
)
def test_openssl_can_not_renegotiate(site, place, version):
    port = getattr(site.target, place).port
    said, code = Openssl(site, port, site.target.spare, version).renegotiate()
    assert b"\nNew, " in said
    assert b"no renegotiation" in said
    assert code
