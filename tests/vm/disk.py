"""A disk whose write cache forgets when the power goes: NBD on a Unix socket, for the emulator.

What the machine wrote and did not flush lies in memory. FLUSH, and a write with FUA, put it into
the file, which stands for the medium. When the power goes, each unflushed sector is on the medium
or is not, as a seed decides: a drive may write its cache back in any order, and not all of it.
Requests that were answered before a FLUSH began are under it; that is all a drive promises.

An emulator's own ``cache=`` modes can't do this: they keep what the guest wrote in the host's page
cache, which outlives the emulator, so that a flush which nobody sent would never be missed.

The parts of the protocol that one client needs: fixed newstyle, GO, READ, WRITE, FLUSH, DISC
(https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). One connection at a time.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path
from random import Random
from typing import NamedTuple

PAGE = 4096
SECTOR = 512
PAGES_IN_CACHE_MAX = 1 << 18
"""1 GiB; more unflushed data than that means that something is wrong."""
REQUEST_BYTES_MAX = 32 << 20
SURVIVING = (0.0, 0.5, 0.9)
"""Shares of unflushed pages that are on the medium after a cut; one is drawn for each cut."""
TORN = 0.1
"""Share of unflushed pages of which each sector has its own luck."""

_MAGIC, _OPTION, _OPTION_REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_FIXED_NEWSTYLE = 3  # and NO_ZEROES
_GO, _ABORT = 7, 2
_ACK, _INFO, _UNSUPPORTED = 1, 3, 0x80000001
_HAS_FLAGS, _SEND_FLUSH, _SEND_FUA = 1, 4, 8
_REQUEST, _REPLY = 0x25609513, 0x67446698
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1
_EINVAL = 22


class Loss(NamedTuple):
    """What a cut did to the sectors that were not flushed."""

    kept: int
    lost: int


class Disk:
    """A medium and its cache; :meth:`serve` in a thread of its own."""

    def __init__(self, medium: Path, *, honest: bool = True) -> None:
        """``honest=False``: a disk that answers a flush and does not do it."""
        self.honest = honest
        self.flushes = 0
        self._fd = os.open(medium, os.O_RDWR)
        self.size = os.fstat(self._fd).st_size
        self._cache: dict[int, bytearray] = {}

    def close(self) -> None:
        """Give the medium back; the cache is forgotten."""
        os.close(self._fd)

    # What a drive does

    def read(self, offset: int, length: int) -> bytes:
        """From the cache where it has something, else from the medium."""
        first, last = offset // PAGE, (offset + length - 1) // PAGE
        data = bytearray(os.pread(self._fd, (last - first + 1) * PAGE, first * PAGE))
        for page in range(first, last + 1):
            if (cached := self._cache.get(page)) is not None:
                data[(page - first) * PAGE : (page - first + 1) * PAGE] = cached
        begin = offset - first * PAGE
        return bytes(memoryview(data)[begin : begin + length])

    def write(self, offset: int, data: bytes) -> None:
        """Into the cache."""
        done = 0
        while done < len(data):
            page, begin = divmod(offset + done, PAGE)
            piece = data[done : done + PAGE - begin]
            if len(piece) == PAGE:
                self._cache[page] = bytearray(piece)
            else:
                if page not in self._cache:
                    self._cache[page] = bytearray(os.pread(self._fd, PAGE, page * PAGE))
                self._cache[page][begin : begin + len(piece)] = piece
            done += len(piece)
        if len(self._cache) > PAGES_IN_CACHE_MAX:
            raise RuntimeError("the disk's cache is full: nobody flushes")

    def flush(self) -> None:
        """Put everything that was written onto the medium; unless this disk lies."""
        self.flushes += 1
        if self.honest:
            self._write_back()

    def force(self, offset: int, length: int) -> None:
        """Put these pages onto the medium, and nothing else: what FUA asks for."""
        if self.honest:
            for page in range(offset // PAGE, (offset + length - 1) // PAGE + 1):
                os.pwrite(self._fd, self._cache.pop(page), page * PAGE)

    def _write_back(self) -> None:
        for page, data in self._cache.items():
            os.pwrite(self._fd, data, page * PAGE)
        self._cache.clear()

    def cut(self, random: Random) -> Loss:
        """Lose the power: what was not flushed is on the medium, or not, as luck has it."""
        share, kept, lost = random.choice(SURVIVING), 0, 0
        for page, data in self._cache.items():
            sectors = range(0, PAGE, SECTOR)
            if random.random() < TORN:
                survivors = [each for each in sectors if random.random() < share]
            else:
                survivors = list(sectors) if random.random() < share else []
            for begin in survivors:
                os.pwrite(self._fd, data[begin : begin + SECTOR], page * PAGE + begin)
            kept += len(survivors)
            lost += len(sectors) - len(survivors)
        self._cache.clear()
        return Loss(kept, lost)

    # The protocol

    def serve(self, listener: socket.socket) -> threading.Thread:
        """Serve the next connection until its end, in a thread that is returned."""
        thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
        thread.start()
        return thread

    def _serve(self, listener: socket.socket) -> None:
        try:
            connection = listener.accept()[0]
        except OSError:
            return  # closed before anybody came
        with connection:
            try:
                if self._negotiate(connection):
                    while self._request(connection):
                        pass
            except ConnectionError:
                pass  # the emulator was killed

    def _negotiate(self, peer: socket.socket) -> bool:
        peer.sendall(struct.pack(">QQH", _MAGIC, _OPTION, _FIXED_NEWSTYLE))
        _receive(peer, 4)
        while True:
            _, option, length = struct.unpack(">QII", _receive(peer, 16))
            _receive(peer, length)

            def reply(kind: int, data: bytes = b"", option: int = option) -> None:
                peer.sendall(struct.pack(">QIII", _OPTION_REPLY, option, kind, len(data)) + data)

            if option == _GO:
                flags = _HAS_FLAGS | _SEND_FLUSH | _SEND_FUA
                reply(_INFO, struct.pack(">HQH", 0, self.size, flags))
                reply(_ACK)
                return True
            reply(_ACK if option == _ABORT else _UNSUPPORTED)
            if option == _ABORT:
                return False

    def _request(self, peer: socket.socket) -> bool:
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", _receive(peer, 28))
        if magic != _REQUEST or length > REQUEST_BYTES_MAX:
            raise ConnectionError("not a request")
        error, answer = 0, b""
        if kind == _READ:
            answer = self.read(offset, length)
        elif kind == _WRITE:
            self.write(offset, _receive(peer, length))
            if flags & _FUA:
                self.force(offset, length)
        elif kind == _FLUSH:
            self.flush()
        elif kind == _DISCONNECT:
            return False
        else:
            error = _EINVAL
        peer.sendall(struct.pack(">IIQ", _REPLY, error, cookie) + answer)
        return True


def _receive(peer: socket.socket, length: int) -> bytes:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        got = peer.recv_into(view)
        if not got:
            raise ConnectionError("the emulator has gone")
        view = view[got:]
    return bytes(data)
