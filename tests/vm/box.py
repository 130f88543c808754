"""The same Debian in namespaces of this host's kernel: as fast as the host, and no power to cut.

Its systemd is the first process of process, mount, network and control-group namespaces of its own,
so units, hardening, packet filter and address limits are the kernel's. What it writes lies over
the image, and is removed at the end. The harness has a network namespace of its own, too
(:func:`isolated`): there, and nowhere else, loopback ports lead to the machine and back, as an
emulator's do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

from tests.vm.disk import Loss
from tests.vm.machine import BOOT_S_MAX, Host

INSIDE, OUTSIDE = "10.0.2.15", "10.0.2.2"
"""As in an emulator: the machine's address, and this host's as the machine sees it."""
CARD, CARD_INSIDE, ELSEWHERE = "box", "eth0", "elsewhere"
ISOLATED: Final = "WARDGATE_VM_ISOLATED"
CONTROL_GROUPS: Final = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
WAYS = """\
table ip box {{
    map inside {{
        type inet_proto . inet_service : ipv4_addr . inet_service
        elements = {{ {elements} }}
    }}
    chain out {{
        type nat hook output priority -100;
        ip daddr 127.0.0.1 dnat ip to meta l4proto . th dport map @inside
    }}
    chain back {{
        type nat hook prerouting priority -100;
        iifname "{card}" ip daddr {outside} dnat to 127.0.0.1
    }}
    chain seen {{
        type nat hook postrouting priority 100;
        oifname "{card}" masquerade
    }}
}}
"""


def isolated() -> None:
    """Go on in a network namespace of our own; begins the program anew for it."""
    if os.environ.get(ISOLATED):
        return
    again = [sys.executable, "-m", "tests.vm", *sys.argv[1:]]
    os.execvpe("unshare", ["unshare", "--net", *again], {**os.environ, ISOLATED: "1"})


class Box(Host):
    """A machine whose power can't be cut: :meth:`cut` kills every process of it at once."""

    def __init__(
        self,
        image: Path,
        work: Path,
        sockets: Path,
        shelf: Path,
        services: Mapping[str, tuple[str, int]],
    ) -> None:
        """Lay the ways to it; it is off. Takes what :class:`tests.vm.machine.Machine` does."""
        super().__init__(work, sockets, services)
        self._image = image / "base.ext4"
        self._shelf = shelf
        self._directory = work / "box"
        found = [Path(each) for each in CONTROL_GROUPS if Path(each, "cgroup.procs").exists()]
        self._group = found[0] / f"wardgate-box-{os.getpid()}"
        self._group.mkdir()
        run("ip", "link", "set", "lo", "up")
        run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
        elements = ", ".join(
            f"{kind} . {self.ports[name]} : {INSIDE} . {behind}"
            for name, (kind, behind) in self.inside.items()
        )
        ways = WAYS.format(elements=elements, card=CARD, outside=OUTSIDE)
        subprocess.run(["nft", "-f", "-"], input=ways.encode(), check=True)

    def boot(self) -> None:
        """As :meth:`Host.boot`."""
        script = Path(__file__).with_name("boot-box")
        enter = f'echo $$ >{self._group}/cgroup.procs && exec "$@"'
        apart = ["unshare", "--fork", "--kill-child", "--propagation", "private"]
        apart += ["--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup"]
        what: list[str | Path] = [
            script,
            self._image,
            self._directory,
            self._shelf,
            f"{self.key}.pub",
        ]
        command: list[str | Path] = ["sh", "-c", enter, "sh", *apart, *what]
        with (self.work / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._put_card_in(self._process.pid)
        self._connect()

    def _put_card_in(self, pid: int) -> None:
        own, deadline = Path("/proc/self/ns/net").stat().st_ino, time.monotonic() + BOOT_S_MAX
        while Path(f"/proc/{pid}/ns/net").stat().st_ino == own:
            if time.monotonic() > deadline:
                raise RuntimeError("the box has no network namespace of its own")
            time.sleep(0.05)
        # A card that leads nowhere has the address elsewhere: not every kernel has a dummy.
        for card, inside in ((ELSEWHERE, ELSEWHERE), (CARD, CARD_INSIDE)):
            peer = ("peer", "name", inside, "netns", str(pid))
            run("ip", "link", "add", card, "type", "veth", *peer)
            run("ip", "link", "set", card, "up")
        run("ip", "address", "add", f"{OUTSIDE}/24", "dev", CARD)

    def off(self) -> None:
        """Kill every process of it."""
        super().off()
        deadline = time.monotonic() + BOOT_S_MAX
        events = self._group / "cgroup.events"
        while "populated 1" in events.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        for card in (CARD, ELSEWHERE):
            subprocess.run(["ip", "link", "delete", card], check=False, capture_output=True)

    def cut(self, random: Random) -> Loss:
        """As :meth:`off`; what was written stays, synced or not."""
        self.off()
        return Loss(0, 0)

    def close(self) -> None:
        """As :meth:`Host.close`."""
        self.off()
        for each in sorted(self._group.rglob("*"), reverse=True):
            if each.is_dir():
                each.rmdir()
        self._group.rmdir()
        shutil.rmtree(self._directory, ignore_errors=True)
        for name in ("ssh.key", "ssh.key.pub"):
            (self.work / name).unlink(missing_ok=True)


def run(*command: str) -> None:
    subprocess.run(command, check=True)
