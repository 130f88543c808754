"""Identities of lost devices: copied, revoked while in use, enrolled twice."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from OpenSSL import SSL

from attack import coap, dtls
from attack.channel import context, dial, first_answer
from attack.mqtt import CONNECT_ANYBODY, Client, RefusedError
from attack.outcome import KEPT_OUT, REFUSED, Attack, Seen, Word, of_error
from attack.probe import EST, Probes
from attack.rpc import CALL_S
from attack.target import Address, Holder, Target
from drivers.mqtt.codec.packets import Connect, Disconnect

VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
KNOWN_S_MAX = 60.0
"""Until every gateway has heard of a new device, or of its end."""
POLL_S = 0.1
TURNS_MAX = 12
"""More than any gateway should watch two holders of one certificate take turns."""
AT_ONCE = 8
HERE, THERE = "127.0.0.1", "127.0.0.2"


class Attacks:
    """With devices of the attacker's own."""

    def __init__(self, target: Target, probes: Probes, bound_s: float = 2.0) -> None:
        """``bound_s``: how long a revoked device may go on."""
        self._target = target
        self._probes = probes
        self._bound_s = bound_s
        self.copied: Holder | None = None
        """The device whose key was copied last."""

    def all(self) -> Iterator[Attack]:
        """Every attack of this place."""
        for name, version in VERSIONS.items():
            yield Attack(
                f"mqtt/session from before the revocation, {name}",
                KEPT_OUT,
                lambda v=version: self._mqtt_session(v),  # type: ignore[misc]
            )
            yield Attack(
                f"est/session from before the revocation, {name}",
                REFUSED,
                lambda v=version: self._est_session(v),  # type: ignore[misc]
            )
        yield Attack("coap/session from before the revocation", KEPT_OUT, self._coap_session)
        yield Attack("est/one token, eight requests at once", REFUSED, self._token_race)
        yield Attack("est/token from before the revocation", REFUSED, self._old_token)
        if _is_loopback(self._target.mqtt) and _is_loopback(self._target.coaps):
            # From elsewhere the attacker has one address only.
            yield Attack(
                "mqtt/a copied key, in turns from two addresses", REFUSED, self.copy_over_mqtt
            )
            yield Attack("coap/a key that was copied over MQTT", KEPT_OUT, self._copy_elsewhere)
            yield Attack(
                "coap/a copied key, in turns from two addresses", KEPT_OUT, self.copy_over_coap
            )

    # Revoked while in use

    def _mqtt_session(self, version: ssl.TLSVersion) -> Seen:
        """A live session must end; what one before it left must not open another one."""
        holder = self._probes.enrol()
        tls = context(holder, version)
        with closing(self.admitted(holder, tls)) as before:
            session = before.sock.session
            before.send(Disconnect())  # a session that was cut off is not resumed anyway
            _ends(before)
        with closing(self.admitted(holder, tls)) as client:
            self._probes.revoke(holder.device_id)
            if not _ends(client):
                return Seen(Word.HELD, "the live session")
        with closing(dial(self._target.mqtt, tls, session)) as sock:
            how = _how(sock, session)
            seen = first_answer(sock, CONNECT_ANYBODY)
        return Seen(seen.word, how)

    def _coap_session(self) -> Seen:
        holder = self._probes.enrol()
        tls = dtls.context(holder)
        end = time.monotonic() + KNOWN_S_MAX
        while True:
            try:
                with dtls.Connection(self._target.coaps, tls) as first:
                    first.handshake()
                    first.ask(coap.PING)
                    session = first.tls.get_session()
                    break
            except (ConnectionResetError, SSL.Error):
                if time.monotonic() > end:
                    raise
                time.sleep(POLL_S)
        self._probes.revoke(holder.device_id)
        end = time.monotonic() + self._bound_s
        while time.monotonic() < end:
            time.sleep(POLL_S)
            try:
                with dtls.Connection(self._target.coaps, tls, session) as second:
                    second.handshake()
                    second.ask(coap.PING)
            except (OSError, SSL.Error) as error:
                return of_error(error)
        return Seen(Word.ADMITTED)

    def _est_session(self, version: ssl.TLSVersion) -> Seen:
        """On the connection that stands, and on one by what it left."""
        holder = self._probes.enrol()
        tls = context(holder, version)
        with ExitStack() as stack:

            def connect(
                session: ssl.SSLSession | None,
            ) -> tuple[ssl.SSLSocket, http.client.HTTPConnection]:
                assert self._target.est is not None
                sock = stack.enter_context(closing(dial(self._target.est, tls, session)))
                made = http.client.HTTPConnection("localhost", timeout=CALL_S)
                made.sock = sock
                return sock, made

            sock, first = connect(None)
            first.request("GET", f"{EST}/cacerts")
            first.getresponse().read()
            session = sock.session
            self._probes.revoke(holder.device_id)
            sock, second = connect(session)
            how = _how(sock, session)
            for connection in (first, second):
                answer = self._probes.ask("simplereenroll", holder.device_id, over=connection)
                if answer.certificate is not None:
                    return Seen(Word.ACCEPTED, how)
        return Seen(Word.REFUSED, f"{answer.status}, {how}")

    # Copied

    def copy_over_mqtt(self) -> Seen:
        """Two holders of one certificate take the session over from each other."""
        holder = self.copied = self._probes.enrol()
        tls = context(holder)
        self.admitted(holder, tls).close()
        with ExitStack() as stack:
            for turn in range(TURNS_MAX):
                client = Client(self._target.mqtt, tls, (THERE, HERE)[turn % 2])
                stack.callback(client.close)
                try:
                    client.connect(Connect(holder.device_id, keep_alive_s=60))
                except RefusedError as error:
                    return Seen(Word.REFUSED, f"{error}, after {turn} turns")
        return Seen(Word.ADMITTED, f"{TURNS_MAX} turns")

    def _copy_elsewhere(self) -> Seen:
        if self.copied is None:
            self.copy_over_mqtt()
        return coap.certificate(self._target, self.copied)

    def copy_over_coap(self) -> Seen:
        """Two holders of one certificate, each with a session, speak in turns."""
        holder = self.copied = self._probes.enrol()
        tls = dtls.context(holder)
        end = time.monotonic() + KNOWN_S_MAX
        while coap.certificate(self._target, holder).word is not Word.ADMITTED:
            if time.monotonic() > end:
                return Seen(Word.NOT_TRIED, "the probe was never let in")
            time.sleep(POLL_S)
        with (
            dtls.Connection(self._target.coaps, tls, source=HERE) as here,
            dtls.Connection(self._target.coaps, tls, source=THERE) as there,
        ):
            here.handshake()
            there.handshake()
            for turn in range(TURNS_MAX):
                try:
                    (here, there)[turn % 2].ask(coap.PING)
                except (OSError, SSL.Error) as error:
                    seen = of_error(error)
                    return Seen(seen.word, f"after {turn} turns")
        return Seen(Word.ADMITTED, f"{TURNS_MAX} turns")

    # Enrolled twice

    def _token_race(self) -> Seen:
        """Each request with another key: all of them at the same moment, one may win."""
        user = self._probes.token()
        barrier = threading.Barrier(AT_ONCE)

        def ask(_: int) -> bool:
            with closing(self._probes.connection()) as connection:
                connection.connect()
                barrier.wait(CALL_S)
                answer = self._probes.ask("simpleenroll", user[0], user=user, over=connection)
            return answer.certificate is not None

        with ThreadPoolExecutor(AT_ONCE, "race") as threads:
            given = sum(threads.map(ask, range(AT_ONCE)))
        word = {0: Word.NOT_TRIED, 1: Word.REFUSED}.get(given, Word.ACCEPTED)
        return Seen(word, f"{given} certificates")

    def _old_token(self) -> Seen:
        """A token for a new key, made while the device was good and stolen with it."""
        device_id = self._probes.enrol().device_id
        user = self._probes.token(device_id)
        self._probes.revoke(device_id)
        answer = self._probes.ask("simpleenroll", device_id, user=user)
        return Seen(
            Word.REFUSED if answer.certificate is None else Word.ACCEPTED, str(answer.status)
        )

    def admitted(self, holder: Holder, tls: ssl.SSLContext) -> Client:
        """A session of a device that the gateway has only just heard of.

        Raises:
            OSError, RefusedError: it is not let in.
        """
        end = time.monotonic() + KNOWN_S_MAX
        while True:
            client = Client(self._target.mqtt, tls)
            try:
                client.connect(Connect(holder.device_id, keep_alive_s=60))
            except (ConnectionError, ssl.SSLError):
                client.close()
                if time.monotonic() > end:
                    raise
                time.sleep(POLL_S)
            else:
                return client


def _ends(client: Client) -> bool:
    """Whether the other side ends a session."""
    try:
        while True:
            client.next()
    except TimeoutError:
        return False
    except (OSError, RefusedError):
        return True


def _how(sock: ssl.SSLSocket, offered: ssl.SSLSession | None) -> str:
    if sock.session_reused:
        return "resumed"
    return "nothing to resume" if offered is None else "not resumed"


def _is_loopback(address: Address) -> bool:
    try:
        return ipaddress.ip_address(address.host) == ipaddress.ip_address(HERE)
    except ValueError:
        return False
