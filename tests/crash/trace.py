"""Reads what strace saw of a gateway: was each acknowledgement written after its sync?

TLS hides what a device is told, so the device sends one message at a time and waits: each write
to its connection answers the read before it. The first answer is the server's part of the TLS
handshake, which promises nothing. DTLS shows of each datagram whether it carries data (the
record's first byte): all else is passed over, and so is what has no room for more than CoAP's
empty acknowledgement, which says nothing of the disk. From then on, between question and answer,
the journal's frame has to be written, and synced by a call that began after the write had ended
and ended before the answer began.

Lines are in the order in which strace stopped the threads. A call of one thread that another one
interrupts is shown twice, ``<unfinished ...>`` where it begins and ``resumed>`` where it ends;
any other begins and ends at its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

CALLS = (
    "read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync,fsync,"
    "fallocate,ftruncate,close"
)
READS = frozenset(("read", "readv", "recvfrom", "recvmsg"))
WRITES = frozenset(("write", "writev", "sendto", "sendmsg"))
FRAME_WRITES = frozenset(("pwrite64", "pwritev"))
SYNCS = frozenset(("fdatasync", "fsync"))

APPLICATION_DATA = r'iov_base="\27"'
"""A DTLS record's content type, as strace shows the first byte of a datagram (RFC 6347, 4.1)."""
EMPTY_ACKNOWLEDGEMENT = "iov_len=41}"
"""13 bytes of header, 8 of nonce and 16 of tag around CoAP's four."""
ACKNOWLEDGED = " = 41"
"""The same from the device, which asks nothing by it."""

_LINE = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>|\()(.*)$")
_FILE = re.compile(r"^\d+<(.*?)>(?=[,)]| <unfinished)")


class Event(NamedTuple):
    """One end of one system call."""

    thread: str
    call: str
    file: str
    begins: bool
    ends: bool
    succeeded: bool
    arguments: str
    """As far as this line shows them."""


@dataclass
class Verdict:
    """What a trace shows."""

    answers: int = 0
    frames: int = 0
    syncs: int = 0
    violations: list[str] = field(default_factory=list)


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The beginnings and ends of calls, in their order."""
    under_way: dict[str, str] = {}
    for line in lines:
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            continue
        thread, call, rest = match.groups()
        resumed = "resumed>" in line
        unfinished = rest.endswith("<unfinished ...>")
        if resumed:
            file = under_way.pop(thread, "")
        else:
            named = _FILE.match(rest)
            file = named.group(1) if named else ""
            if unfinished:
                under_way[thread] = file
        result = rest.rpartition(" = ")[2]
        succeeded = not unfinished and bool(result) and result[0].isdigit()
        yield Event(thread, call, file, not resumed, not unfinished, succeeded, rest)


def check(lines: Iterable[str], port: int) -> Verdict:
    """Judge the answers on connections to ``port``.

    Args:
        lines: of ``strace -f -yy -s 1``.
        port: where the gateway listens for the device.
    """
    connection = re.compile(rf"(?:TCP|UDP)(?:v6)?:\[[^\]]*:{port}(?:->|\])")
    verdict = Verdict()
    asked = shaken = False
    frames_since = 0
    writing: dict[str, str] = {}
    dirty: set[str] = set()
    covering: dict[str, bool] = {}
    for event in events(lines):
        if connection.match(event.file):
            if event.file.startswith("UDP"):
                shaken = True
                if APPLICATION_DATA not in event.arguments:
                    continue
                if event.call in WRITES and EMPTY_ACKNOWLEDGEMENT in event.arguments:
                    continue
                if event.call in READS and event.arguments.endswith(ACKNOWLEDGED):
                    continue
            if event.call in READS and event.ends and event.succeeded:
                asked, frames_since = True, 0
            elif event.call in WRITES and event.begins and asked:
                asked = False
                if not shaken:
                    shaken = True
                    continue
                verdict.answers += 1
                if not frames_since:
                    verdict.violations.append(f"answer {verdict.answers}: no frame was written")
                elif dirty or writing:
                    verdict.violations.append(f"answer {verdict.answers}: a frame is not synced")
        elif event.call in FRAME_WRITES and event.file.endswith(".seg"):
            if event.begins:
                writing[event.thread] = event.file
                # Whatever sync of it is under way may have begun too early for this frame.
                covering = dict.fromkeys(covering, False)
            if event.ends:
                writing.pop(event.thread, None)
                dirty.add(event.file)
                frames_since += 1
                verdict.frames += 1
        elif event.call in SYNCS and event.file.endswith(".seg"):
            if event.begins:
                covering[event.thread] = event.file not in writing.values()
            if event.ends and covering.pop(event.thread, False) and event.succeeded:
                dirty.discard(event.file)
                verdict.syncs += 1
    return verdict
