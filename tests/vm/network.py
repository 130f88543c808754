"""A 5G network's side: one SMF, and the devices that attach through it.

The SMF is outside the machine, as it will be: ``eapol_test`` asks the machine's port, and what is
to end a session is sent to this host, which the machine knows as the emulator's gateway.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import NamedTuple

from tests.integration.test_secondary_authentication import SECRET, Smf, vsa
from tests.vm.rehearsal import POLL_S, Rehearsal

OPERATOR = (
    "/opt/wardgate/bin/wardgate {} --fleet localhost:7443"
    " --identity /var/lib/wardgate-fleet/service/operator-admin"
)
ACCEPTED, REFUSED, UNANSWERED = "accepted", "refused", "unanswered"
ANSWER_S, ATTACH_S_MAX = 60, 120.0
"""An emulated machine's handshake; and with every message repeated."""
DISCONNECT_ACK, ACCT_SESSION_ID = 41, 44


class Device(NamedTuple):
    """A device, and the SIM that it is bound to."""

    name: str
    sim: str


class Try(NamedTuple):
    """An attachment, and what has to become of it."""

    device: Device
    sim: str
    wanted: str


class NoAnswerError(Exception):
    """A server that does not answer refuses nobody: a device has to begin anew."""


class Network:
    """The SMF says of each session that it is to end that it did."""

    def __init__(self, at: Rehearsal) -> None:
        self._at = at
        self._smf = Smf()
        self._smf.socket.settimeout(POLL_S)
        self._folder = at.vm.work / "network"
        self._folder.mkdir(exist_ok=True)
        self._numbers = itertools.count(1)
        self.sessions: dict[str, Device] = {}
        """Those that began, by their ids; also the ones that have ended."""
        self._ended: set[str] = set()
        self._over = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._life = self._thread.submit(self._live)
        at.files.let_smf_in(self._smf.port, SECRET)

    def _live(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                asked = self._smf.take(DISCONNECT_ACK)
                self._ended.add(asked[ACCT_SESSION_ID].decode())

    def of(self, device: Device) -> set[str]:
        """The sessions of a device that began."""
        return {session for session, whose in self.sessions.copy().items() if whose == device}

    def ended(self) -> set[str]:
        """The sessions that the SMF was asked to end, so far."""
        if self._life.done():
            self._life.result()
        return self._ended.copy()

    def take_device(self, device: Device) -> None:
        """Register it as an operator does, and take its certificate out of the machine."""
        bundle = f"/run/{device.name}"
        add = f"device add {device.name} --supi {device.sim} --bundle {bundle}"
        self._at.vm.ssh(OPERATOR.format(add))
        done = self._at.vm.ssh_bytes(f"tar -C {bundle} -c . && rm -r {bundle}")
        assert done.returncode == 0, done.stderr
        folder = self._folder / device.name
        with tarfile.open(fileobj=BytesIO(done.stdout)) as files:
            files.extractall(folder, filter="data")
        (folder / "eapol.conf").write_text(
            'network={\nkey_mgmt=IEEE8021X\neap=TLS\nidentity="anonymous"\n'
            f'ca_cert="{folder}/ca.pem"\nclient_cert="{folder}/cert.pem"\n'
            f'private_key="{folder}/key.pem"\n}}\n'
        )

    def revoke(self, device: Device) -> None:
        """As an operator does whose device was stolen."""
        self._at.vm.ssh(OPERATOR.format(f"device revoke {device.name} --reason stolen"))

    def attach(self, device: Device, sim: str = "") -> str:
        """What becomes of an attachment, with another SIM or with its own.

        Raises:
            NoAnswerError: nothing did.
        """
        session = f"SESSION-{next(self._numbers)}"
        done = subprocess.run(
            [
                *("eapol_test", "-c", self._folder / device.name / "eapol.conf"),
                *("-a", "127.0.0.1", "-p", str(self._at.vm.ports["radius"]), "-s", SECRET),
                *("-t", str(ANSWER_S), vsa(1, (sim or device.sim).encode())),
                f"-N{ACCT_SESSION_ID}:s:{session}",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=ATTACH_S_MAX,
        )
        if done.returncode == 0:
            self.sessions[session] = device
            return ACCEPTED
        if "code=3 (Access-Reject)" in done.stdout:
            return REFUSED
        raise NoAnswerError(done.stdout[-2000:])

    @contextlib.contextmanager
    def crowd(self, *tries: Try) -> Iterator[Counter[str]]:
        """Each is made again and again, beside the others, as long as this lasts.

        Gives what became of them, to be read afterwards.

        Raises:
            AssertionError: something became of one that must not.
        """
        over = threading.Event()
        heard: Counter[str] = Counter()
        with ThreadPoolExecutor(len(tries)) as threads:
            lives = [threads.submit(self._again_and_again, each, over) for each in tries]
            try:
                yield heard
            finally:
                over.set()
            for life in lives:
                heard.update(life.result())

    def _again_and_again(self, what: Try, over: threading.Event) -> Counter[str]:
        heard: Counter[str] = Counter()
        while not (heard[what.wanted] and over.is_set()):
            try:
                outcome = self.attach(what.device, what.sim)
            except NoAnswerError:
                outcome = UNANSWERED
            assert outcome in {what.wanted, UNANSWERED}, (what, outcome)
            heard[outcome] += 1
            over.wait(POLL_S)
        return heard

    def close(self) -> None:
        """Idempotent."""
        self._over.set()
        self._thread.shutdown()
        self._smf.socket.close()
