"""A Debian machine in an emulator: its disk is thrown away, and no way leads out of it.

It has neither a route nor a resolver (see make-image). The emulator's own ``restrict=on`` won't do:
it drops what the machine answers over UDP, also to forwarded ports.

Loopback ports of the host are forwarded to it; the key that opens it is made for the run. Its disk
has a volatile write cache (see disk.py), so that :meth:`Machine.cut` is a power cut.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from tests.vm.disk import Disk, Loss

BOOT_S_MAX = 400.0
SSH_TIMEOUT_S = 300.0
"""An emulated machine on a busy host is slow; a command that hangs is found by its own test."""
ECHO_S_MAX = 60.0
MEMORY_MIB = 2048
KERNEL = "root=/dev/vda rw console=ttyS0 quiet mitigations=off"
CPU = "Westmere"
"""AES, and neither ERMS nor AVX: an emulator copies memory by them at a tenth of the speed."""
NICE = 5
H = TypeVar("H", bound="Host")


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


class Host:
    """A Debian that is logged in to over ssh, and whose services are reached on the loopback."""

    def __init__(self, work: Path, sockets: Path, services: Mapping[str, tuple[str, int]]) -> None:
        """Make the key that opens it; it is off.

        Args:
            work: a directory for its disks and logs.
            sockets: a directory with a short name, for Unix sockets.
            services: what to reach besides ssh, name -> (tcp or udp, port inside).
        """
        self.work = work
        self.key = work / "ssh.key"
        self._master = sockets / "ssh"
        self.inside = {"ssh": ("tcp", 22), **services}
        ports = free_ports([kind for kind, _ in self.inside.values()])
        self.ports = dict(zip(self.inside, ports, strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: subprocess.Popen[bytes] | None = None
        run = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(run, check=True)

    def _connect(self) -> None:
        """Wait until it can be logged in to.

        Raises:
            RuntimeError: it does not boot.
        """
        assert self._process is not None
        deadline = time.monotonic() + BOOT_S_MAX
        while self.ssh("true", check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                console = (self.work / "console.log").read_text(errors="replace")
                raise RuntimeError(f"the machine did not boot:\n{console[-2000:]}")
            time.sleep(1)
        # A connection that all commands share: a handshake takes an emulated machine a second.
        master = ["ssh", *self._login(), "-M", "-N", "root@127.0.0.1"]
        self._connection = subprocess.Popen(master, stdin=subprocess.DEVNULL)

    def echoes(self, service: str, behind: int) -> bool:
        """Whether a datagram to a forwarded port comes back, while nobody else has the port."""
        echo = f"""import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", {behind}))
s.settimeout({ECHO_S_MAX})
s.sendto(*s.recvfrom(99))
"""
        command = ["ssh", *self._login(), "root@127.0.0.1", f"python3 -c '{echo}'"]
        answering = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.settimeout(1.0)
                for _ in range(int(ECHO_S_MAX)):
                    sender.sendto(b"echo", ("127.0.0.1", self.ports[service]))
                    with contextlib.suppress(OSError):
                        return sender.recv(99) == b"echo"
        finally:
            answering.kill()
            answering.wait()
        return False

    def _login(self) -> list[str]:
        return [*self.ssh_options(), "-i", str(self.key), "-p", str(self.ports["ssh"])]

    def ssh_options(self) -> list[str]:
        """What ansible's ssh needs besides the key and the port."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options += ["ConnectTimeout=10", f"ControlPath={self._master}"]
        return [word for option in options for word in ("-o", option)]

    def ssh(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root.

        Raises:
            AssertionError: it failed, and ``check``.
        """
        done = self.ssh_bytes(command)
        out, error = done.stdout.decode(), done.stderr.decode()
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: {out}{error}")
        return subprocess.CompletedProcess(done.args, done.returncode, out, error)

    def ssh_bytes(self, command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a shell command as root; what it says may be no text."""
        return subprocess.run(
            ["ssh", *self._login(), "root@127.0.0.1", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SSH_TIMEOUT_S,
            check=False,
        )

    def off(self) -> None:
        """Stop it where it is."""
        for process in (self._process, self._connection):
            if process is not None:
                process.kill()
                process.wait()
        self._process = self._connection = None
        self._master.unlink(missing_ok=True)

    def boot(self) -> None:
        """Switch it on, and wait until it can be logged in to.

        Raises:
            RuntimeError: it does not boot.
        """
        raise NotImplementedError

    def cut(self, random: Random) -> Loss:
        """Cut the power; what was not flushed is lost, or some of it."""
        raise NotImplementedError

    def close(self) -> None:
        """Switch it off, and remove what it wrote."""
        raise NotImplementedError


class Machine(Host):
    """A computer in an emulator that is switched on, cut off, and switched on again."""

    def __init__(
        self,
        image: Path,
        work: Path,
        sockets: Path,
        shelf: Path,
        services: Mapping[str, tuple[str, int]],
    ) -> None:
        """Make its disks; it is off.

        Args:
            image: a directory with base.ext4, vmlinuz and initrd.img.
            work: as for :class:`Host`.
            sockets: as for :class:`Host`.
            shelf: files that it finds on a second disk, on /mnt.
            services: as for :class:`Host`.
        """
        super().__init__(work, sockets, services)
        self.serial_line = sockets / "serial"
        """The other end of the machine's /dev/ttyS1."""
        self._socket = sockets / "disk"
        self._image = image
        self._forwards = ",".join(
            f"hostfwd={kind}:127.0.0.1:{self.ports[name]}-:{behind}"
            for name, (kind, behind) in self.inside.items()
        )
        self._server: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._shelf = self.work / "shelf.ext4"
        self.disk = Disk(self._make_disks(shelf))

    def _make_disks(self, shelf: Path) -> Path:
        disk = self.work / "disk.ext4"
        subprocess.run(
            ["cp", "--sparse=always", "--reflink=auto", self._image / "base.ext4", disk], check=True
        )
        write = f"write {self.key}.pub /root/.ssh/authorized_keys"
        subprocess.run(["debugfs", "-w", "-R", write, disk], check=True, capture_output=True)
        make = ["mke2fs", "-q", "-t", "ext4", "-d", str(shelf), str(self._shelf), "512M"]
        subprocess.run(make, check=True, capture_output=True)
        return disk

    def boot(self) -> None:
        """As :meth:`Host.boot`."""
        self._socket.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._socket))
        self._listener.listen(1)
        self._server = self.disk.serve(self._listener)
        command = ["nice", "-n", str(NICE), "qemu-system-x86_64", "-accel", "tcg", "-cpu", CPU]
        command += ["-smp", "2", "-m", str(MEMORY_MIB), "-display", "none", "-no-reboot"]
        command += ["-monitor", "none", "-serial", f"file:{self.work / 'console.log'}"]
        command += ["-serial", f"unix:{self.serial_line},server=on,wait=off"]
        command += ["-kernel", str(self._image / "vmlinuz")]
        command += ["-initrd", str(self._image / "initrd.img"), "-append", KERNEL]
        # cache=writeback: the guest is told that there is a cache to flush.
        command += ["-drive", f"file=nbd+unix:///?socket={self._socket},if=virtio,format=raw"]
        command[-1] += ",cache=writeback,discard=ignore"
        command += ["-drive", f"file={self._shelf},if=virtio,format=raw,readonly=on"]
        command += ["-netdev", f"user,id=net,{self._forwards}"]
        command += ["-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self._connect()
        self.ssh("mountpoint -q /mnt || mount -o ro /dev/vdb /mnt")

    def cut(self, random: Random) -> Loss:
        """As :meth:`Host.cut`."""
        self.off()
        return self.disk.cut(random)

    def off(self) -> None:
        """Stop the emulator where it is."""
        super().off()
        if self._listener is not None and self._server is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
            self._server.join()
            self._listener.close()

    def close(self) -> None:
        """As :meth:`Host.close`."""
        self.off()
        self.disk.close()
        for name in ("disk.ext4", "shelf.ext4", "ssh.key", "ssh.key.pub"):
            (self.work / name).unlink(missing_ok=True)


@contextlib.contextmanager
def running(make: Callable[[Path, Path], H], work: Path) -> Iterator[H]:
    """A booted machine; its disk is removed afterwards, its console's log stays.

    Args:
        make: makes it in a directory, with sockets in another.
        work: the directory, which is emptied.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="wardgate-vm-") as sockets:
        made = make(work, Path(sockets))
        try:
            made.boot()
            yield made
        finally:
            made.close()
