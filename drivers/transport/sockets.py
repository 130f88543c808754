"""What is done with TCP sockets beneath a stream."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios

TCP_SILENCE_S = 60
TCP_PROBE_INTERVAL_S = 10
TCP_PROBES_MAX = 3
TCP_UNACKED_MS_MAX = 30_000
"""A peer that is gone without a word is noticed by TCP, also where the protocol has no timer."""

ALERT_LINGER_S = 1.0
"""How long a refused peer may take to read why."""
ALERT_READS_MAX = 8
ALERT_READ_BYTES = 4096

_TCP_INFO_BYTES, _LAST_DATA_SENT_AT, _DATA_SEGMENTS_OUT_AT = 160, 44, 156
"""Of ``struct tcp_info`` up to ``tcpi_data_segs_out`` (Linux 4.6)."""


async def say(alert: bytes, sock: socket.socket) -> None:
    """Write the alert, and let the peer read it.

    Closing right away would reset the connection, for what the peer sent meanwhile wasn't read.
    """
    if not alert:
        return
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ALERT_LINGER_S):
            await loop.sock_sendall(sock, alert)
            sock.shutdown(socket.SHUT_WR)
            for _ in range(ALERT_READS_MAX):
                if not await loop.sock_recv(sock, ALERT_READ_BYTES):
                    return


def prepared(sock: socket.socket) -> socket.socket:
    """Set an accepted socket's options.

    Returns:
        A second descriptor of it, to tell the peer what is wrong: the event loop closes the
        first as soon as a handshake fails.

    Raises:
        OSError: the peer is gone, or descriptors are short; the socket is closed.
    """
    try:
        set_options(sock)
        return sock.dup()
    except OSError:
        sock.close()
        raise


def set_options(sock: socket.socket) -> None:
    """No delay, and an end to a peer that is gone without a word.

    Raises:
        OSError: it is gone already.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, TCP_SILENCE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, TCP_PROBE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, TCP_PROBES_MAX)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_UNACKED_MS_MAX)


def owes_us_a_word(sock: socket.socket, long_s: float) -> bool:
    """Whether the peer has been silent for ``long_s`` although it is its turn.

    The kernel's own times are asked (``tcp_info`` of linux/tcp.h), since ours would include how
    long we are busy: everything that came was read, and what we had to say was said.
    """
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    if len(info) < _TCP_INFO_BYTES:
        return False  # an older kernel; handshake_overdue_s remains
    since_sent_ms, _, since_received_ms = struct.unpack_from("=III", info, _LAST_DATA_SENT_AT)
    (segments_sent,) = struct.unpack_from("=I", info, _DATA_SEGMENTS_OUT_AT)
    long_ms = long_s * 1000
    spoken = not segments_sent or since_sent_ms >= long_ms
    return not waits_for_us(sock) and since_received_ms >= long_ms and spoken


def waits_for_us(sock: socket.socket) -> bool:
    """Whether the peer has said what was not read yet."""
    (unread_bytes,) = struct.unpack("=i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))
    return bool(unread_bytes)


def hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # already gone
