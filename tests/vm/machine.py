"""A Debian machine in an emulator: its disk is thrown away, and no way leads out of it.

Loopback ports of the host are forwarded to it; the key that opens it is made for the run.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

BOOT_S_MAX = 240.0
SSH_TIMEOUT_S = 120.0
MEMORY_MIB = 2048


def free_ports(kinds: Sequence[str]) -> list[int]:
    """A loopback port that is free now, for each of ``tcp`` and ``udp``."""
    with contextlib.ExitStack() as stack:
        ports = []
        for kind in kinds:
            held = stack.enter_context(
                socket.socket(
                    socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
                )
            )
            held.bind(("127.0.0.1", 0))
            ports.append(held.getsockname()[1])
        return ports


class Machine:
    """One boot of the image."""

    def __init__(self, image: Path, work: Path, services: Mapping[str, tuple[str, int]]) -> None:
        """``services``: what to forward besides ssh, name -> (tcp or udp, port inside)."""
        self.work = work
        self.key = work / "ssh.key"
        self._image = image
        inside = {"ssh": ("tcp", 22), **services}
        ports = free_ports([kind for kind, _ in inside.values()])
        self.ports = dict(zip(inside, ports, strict=True))
        self._forwards = ",".join(
            f"hostfwd={kind}:127.0.0.1:{port}-:{behind}"
            for port, (kind, behind) in zip(ports, inside.values(), strict=True)
        )
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self, shelf: Path) -> None:
        """Start it, with a directory's files on a second disk, mounted on /mnt."""
        run = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(run, check=True)
        disk = self.work / "disk.ext4"
        subprocess.run(
            ["cp", "--sparse=always", "--reflink=auto", self._image / "base.ext4", disk], check=True
        )
        write = f"write {self.key}.pub /root/.ssh/authorized_keys"
        subprocess.run(["debugfs", "-w", "-R", write, disk], check=True, capture_output=True)
        second = self.work / "shelf.ext4"
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", shelf, second, "512M"], check=True)
        command = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max"]
        command += ["-smp", "2", "-m", str(MEMORY_MIB), "-display", "none", "-no-reboot"]
        command += ["-serial", f"file:{self.work / 'console.log'}", "-monitor", "none"]
        command += ["-kernel", str(self._image / "vmlinuz")]
        command += ["-initrd", str(self._image / "initrd.img")]
        command += ["-append", "root=/dev/vda rw console=ttyS0"]
        for path in (disk, second):
            command += ["-drive", f"file={path},if=virtio,format=raw,cache=unsafe"]
        command += ["-netdev", f"user,id=net,restrict=on,{self._forwards}"]
        command += ["-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + BOOT_S_MAX
        while self.ssh("true", check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                console = (self.work / "console.log").read_text(errors="replace")
                raise RuntimeError(f"the machine did not boot:\n{console[-2000:]}")
            time.sleep(1)
        self.ssh("mount -o ro /dev/vdb /mnt")

    def ssh_options(self) -> list[str]:
        """How ssh reaches it."""
        options = ["-i", str(self.key), "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return [*options, "-o", "ConnectTimeout=5"]

    def ssh(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root."""
        target = ["-p", str(self.ports["ssh"]), "root@127.0.0.1", command]
        done = subprocess.run(
            ["ssh", *self.ssh_options(), *target],
            capture_output=True,
            text=True,
            timeout=SSH_TIMEOUT_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
        return done

    def off(self) -> None:
        """Cut the power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(
    image: Path, work: Path, shelf: Path, services: Mapping[str, tuple[str, int]]
) -> Iterator[Machine]:
    """A booted machine; its disk is removed afterwards, its console's log stays."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    machine = Machine(image, work, services)
    try:
        machine.boot(shelf)
        yield machine
    finally:
        machine.off()
        for name in ("disk.ext4", "shelf.ext4", "ssh.key", "ssh.key.pub"):
            (work / name).unlink(missing_ok=True)
