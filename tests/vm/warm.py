"""Runs in the machine: ansible's tasks, by forks of a process that has ansible's library loaded.

Ansible sends its library with every task, and an emulated machine takes half a minute to compile
and import it. The tasks and the library are the same; what is saved is loading it each time. The
client (see ``CLIENT``) takes the place of the interpreter: it sends its environment and the script
that it was given, and prints what the script said.
"""

import atexit
import contextlib
import importlib
import os
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path

SOCKET = "/run/warm"
LIBRARY = (
    "ansible.module_utils._internal._ansiballz._loader",
    "ansible.module_utils.basic",
    "ansible.module_utils.common.process",
    "ansible.module_utils.facts.system.chroot",
    "ansible.module_utils.service",
    "ansible.module_utils.urls",
)
"""What the roles' tasks import most of."""
CLIENT = """\
#!/usr/bin/perl
use Socket;
exec "/usr/bin/python3", @ARGV if @ARGV;
binmode STDIN; binmode STDOUT;
socket(S, PF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un("/run/warm")) || die $!;
binmode S; select S; $| = 1; select STDOUT;
local $/;
print S pack("N/a*", join("\\0", map { "$_=$ENV{$_}" } keys %ENV)), scalar <STDIN>;
shutdown(S, 1);
print scalar <S>;
"""


def main() -> None:
    """Serve for ever."""
    sys.path.insert(0, "/opt/warm")
    for module in LIBRARY:
        importlib.import_module(module)  # for the forks
    client = Path("/opt/warm/python")
    client.write_text(CLIENT)
    client.chmod(0o755)
    Path(SOCKET).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(SOCKET)
    server.listen(8)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        peer = server.accept()[0]
        if os.fork() == 0:
            server.close()
            run(peer)
        peer.close()


def run(peer: socket.socket) -> None:
    """Be the interpreter of one script, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with peer.makefile("rb") as lines:
        (length,) = struct.unpack(">I", lines.read(4))
        settings = lines.read(length).decode().split("\0")
        script = lines.read()
    os.environ.clear()
    os.environ.update(
        {name: value for name, _, value in (each.partition("=") for each in settings)}
    )
    null = os.open(os.devnull, os.O_RDONLY)
    for given, wanted in ((null, 0), (peer.fileno(), 1), (peer.fileno(), 2)):
        os.dup2(given, wanted)
    peer.close()
    try:
        exec(compile(script, "<stdin>", "exec"), {"__name__": "__main__"})
    except SystemExit:
        pass
    except BaseException:  # noqa: BLE001  # an interpreter's own boundary
        traceback.print_exc()
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
