"""Attacks on the enrolment listener: refused, counted, audited, and nobody else is harmed."""

import base64
import contextlib
import http.client
import socket
import ssl
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime

import pytest

from protos.wardgate.v1 import fleet_pb2 as pb
from security import est, pki
from security.audit import verify
from security.files import TlsFiles
from security.names import Role
from tests.integration.fleet_process import Fleet

EST = "/.well-known/est"
WRONG = 1000
TIGHT = "body_s = 2\nidle_s = 8\nconnections_per_address_max = 24\n"
TRIES = 5
WAIT_S = 60.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"), TIGHT)
    made.start()
    yield made
    made.close()


@pytest.fixture
def lenient(tmp_path):
    made = Fleet(tmp_path, "connection_s = 2\n")
    made.start()
    yield made
    made.close()


def token(fleet, device_id):
    request = pb.AddDeviceRequest(device_id=device_id, token=True)
    with fleet.client() as client:
        return client.call("AddDevice", request, pb.AddDeviceResponse).token


def context(fleet, files=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(fleet.directory / "service" / "ca.pem")
    if files:
        made.load_cert_chain(files.cert, files.key)
    return made


def connect(fleet, files=None, tls=None):
    raw = socket.create_connection(("127.0.0.1", fleet.est_port), timeout=WAIT_S)
    try:
        return (tls or context(fleet, files)).wrap_socket(raw, server_hostname="127.0.0.1")
    except BaseException:
        raw.close()
        raise


def raw(fleet, sent):
    """What comes back for bytes, until the other end closes."""
    with connect(fleet) as connection:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            connection.sendall(sent)  # the other end may have heard enough before all is sent
        return rest(connection)


def rest(connection):
    got = b""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        while chunk := connection.recv(65536):
            got += chunk
    return got


class Client(http.client.HTTPSConnection):
    """A request in one step; on a new connection each, unless it is to keep one.

    A connection has its time here, which is over when somebody was kept waiting: another begins.
    """

    def __init__(self, fleet, files=None, *, keep=False, tries=TRIES):
        self.keep, self.tries = keep, tries
        super().__init__("127.0.0.1", fleet.est_port, context=context(fleet, files), timeout=WAIT_S)

    def ask(self, *words, **named):
        for left in reversed(range(self.tries)):
            if not self.keep:
                self.close()
            try:
                return self._asked(*words, **named)
            except (http.client.HTTPException, ConnectionError, ssl.SSLError):
                self.close()
                if not left:
                    raise
        raise AssertionError

    def _asked(self, operation, body=b"", user=None, method="POST", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("Content-Type", est.MEDIA_CSR)
        if user:
            headers["Authorization"] = est.encode_basic(*user)
        self.request(method, f"{EST}/{operation}", body, headers)
        answer = self.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())


@pytest.fixture
def client(fleet):
    made = Client(fleet)
    yield made
    made.close()


def request(device_id, key=None):
    pem = pki.create_csr(key or pki.new_key(), device_id)
    return base64.b64encode(ssl_der(pem))


def ssl_der(pem):
    return base64.b64decode(b"".join(pem.splitlines()[1:-1]))


def refused(fleet, reason):
    url = f"http://127.0.0.1:{fleet.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f'wardgate_fleet_enrolment_refused_total{{reason="{reason}"}}'):
                return float(line.rpartition(" ")[2])
    raise AssertionError(reason)


def test_a_replayed_token_with_another_key_is_refused(fleet, client):
    secret = token(fleet, "a-1")
    assert client.ask("simpleenroll", request("a-1"), ("a-1", secret))[0] == 200
    before = refused(fleet, "token_used")
    assert client.ask("simpleenroll", request("a-1"), ("a-1", secret))[0] == 401
    assert refused(fleet, "token_used") == before + 1


def test_a_replay_across_a_crash_is_refused_and_the_repeat_still_served(lenient):
    key = pki.new_key()
    secret = token(lenient, "crash-1")
    body, user = request("crash-1", key), ("crash-1", secret)
    first = Client(lenient).ask("simpleenroll", body, user)
    lenient.stop(9)
    lenient.start()
    again = Client(lenient).ask("simpleenroll", body, user)
    assert (first[0], again[1]) == (200, first[1])
    assert Client(lenient).ask("simpleenroll", request("crash-1"), user)[0] == 401


def test_another_devices_token_and_a_request_for_another_id(fleet, client):
    mine, other = token(fleet, "a-2"), token(fleet, "a-3")
    assert client.ask("simpleenroll", request("a-2"), ("a-2", other))[0] == 401
    assert client.ask("simpleenroll", request("a-3"), ("a-2", mine))[0] == 403
    assert client.ask("simpleenroll", request("a-2"), ("a-2", mine))[0] == 200


def test_what_is_wrong_tells_nothing_apart(lenient):
    """Wrong token, another's, unknown device, no device: the same answer to the byte."""
    token(lenient, "b-1")
    other = token(lenient, "b-2")
    answers = set()
    for user in (("b-1", "x"), ("b-1", other), ("nobody", "x"), ("../x", other), ("", "")):
        status, body, headers = Client(lenient).ask("simpleenroll", request("b-1"), user)
        headers.pop("Date")
        answers.add((status, body, tuple(sorted(headers.items()))))
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_a_thousand_wrong_tokens_run_into_the_rate(lenient):
    secret = token(lenient, "c-1")
    statuses: Counter[int] = Counter()
    client = Client(lenient, keep=True)
    began = time.monotonic()
    for number in range(WRONG):
        user = (f"c-{number % 7}", f"guess-{number}")
        status, body, headers = client.ask("simpleenroll", request("c-1"), user)
        statuses[status] += 1
        if status == 429:
            assert 1 <= int(headers["Retry-After"]) <= 2
            assert body == b"too often\n"
    assert set(statuses) == {401, 429}
    assert statuses[401] <= 31 + (time.monotonic() - began) / 2  # 30 at once, 30 a minute
    assert statuses[429] > statuses[401]
    # The right one waits, too, or guessing would only be slowed down for the wrong ones; what
    # needs no token is served meanwhile.
    client.close()
    assert client.ask("cacerts", method="GET")[0] == 200
    assert client.ask("simpleenroll", request("c-1"), ("c-1", secret))[0] in {200, 429}
    client.close()
    # A thousand refusals are some lines in the audit log.
    assert lenient.stop() == 0
    assert verify(lenient.directory / "state" / "audit").last < 200


def test_bodies_that_are_no_request(fleet, client):
    secret = token(fleet, "d-1")
    good = ssl_der(pki.create_csr(pki.new_key(), "d-1"))
    tampered = bytearray(good)
    tampered[-1] ^= 1
    user = ("d-1", secret)
    for body, status in (
        (base64.b64encode(bytes(tampered)), 400),
        (b"", 400),
        (b"not base64!", 400),
        (b"A" * 64 * 1024, 400),
    ):
        with contextlib.closing(Client(fleet)) as each:
            assert each.ask("simpleenroll", body, user)[0] == status, body[:20]
    assert client.ask("simpleenroll", base64.b64encode(good), user, Content_Type="text/x")[0] == 415


def head(operation, *lines, user=None):
    fields = [f"POST {EST}/{operation} HTTP/1.1", "Host: x", f"Content-Type: {est.MEDIA_CSR}"]
    if user:
        fields.append(f"Authorization: {est.encode_basic(*user)}")
    return "\r\n".join([*fields, *lines, "", ""]).encode()


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def test_a_body_without_an_end_or_a_beginning(fleet):
    user = ("e-1", token(fleet, "e-1"))
    announced = head("simpleenroll", "Content-Length: 1000000000", user=user)
    assert status_of(raw(fleet, announced)) == 413
    chunks = b"10000\r\n" + b"A" * 0x10000 + b"\r\n"
    chunked = head("simpleenroll", "Transfer-Encoding: chunked", user=user)
    assert status_of(raw(fleet, chunked + 3 * chunks)) == 413
    slow = head("simpleenroll", "Content-Length: 300", user=user) + b"AAAA"
    assert status_of(raw(fleet, slow)) == 408
    # Whoever has proved nothing is answered before it has sent anything.
    assert status_of(raw(fleet, head("simpleenroll", "Content-Length: 1000000000"))) == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x00\x05hello" * 3,
        head("cacerts", *(f"X-{number}: y" for number in range(1000))),
        head("cacerts", "X: " + "y" * 100_000),
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        head("simpleenroll", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("simpleenroll", "Content-Length: -1"),
        head("simpleenroll", "Content-Length: 5", "Content-Length: 6") + b"hello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_heads_that_are_none_are_ended(fleet, sent):
    answer = raw(fleet, sent)
    assert status_of(answer) in {0, 400}
    assert b"aiohttp" not in answer
    with contextlib.closing(Client(fleet)) as client:
        assert client.ask("cacerts", method="GET")[0] == 200


def test_heads_without_an_end_are_ended(fleet):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(fleet)) for _ in range(3)]
        for connection, sent in zip(silent, (b"", b"GET ", head("cacerts")[:-2]), strict=True):
            connection.sendall(sent)
        for connection in silent:
            answer = rest(connection)
            assert status_of(answer) in {0, 400}
            assert b"aiohttp" not in answer


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (f"{EST}/cacerts", "POST", 405),
        (f"{EST}/simpleenroll", "GET", 405),
        (f"{EST}/serverkeygen", "POST", 404),
        (f"{EST}/fullcmc", "POST", 404),
        (f"{EST}/label/cacerts", "GET", 404),
        (f"{EST}/../est/cacerts", "GET", 404),
        ("/etc/passwd", "GET", 404),
        ("//", "GET", 404),
        ("/crl/%2e%2e/ca.key", "GET", 404),
    ],
)
def test_other_paths_and_methods(fleet, client, path, method, status):
    client.request(method, path)
    answer = client.getresponse()
    assert answer.status == status
    answer.read()


def test_silent_peers_leave_room_for_others(fleet):
    """More half-open and idle connections than an address may have: others are served after."""
    held = []
    try:
        for _ in range(64):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", fleet.est_port), timeout=WAIT_S))
        for _ in range(40):
            with contextlib.suppress(OSError, ssl.SSLError):
                held.append(connect(fleet))
    finally:
        for each in held:
            each.close()
    deadline = time.monotonic() + WAIT_S
    with contextlib.closing(Client(fleet)) as client:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                assert client.ask("cacerts", method="GET")[0] == 200
                break
            assert time.monotonic() < deadline  # it may not have heard yet that they hung up
    assert refused(fleet, "overloaded") > 0


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_and_plain_text_get_no_session(fleet):
    old = context(fleet)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        connect(fleet, tls=old)
    with socket.create_connection(("127.0.0.1", fleet.est_port), timeout=WAIT_S) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        with contextlib.suppress(ConnectionResetError):
            got = plain.recv(100)
        assert not got.startswith(b"HTTP")


def bundle(fleet, device_id):
    where = fleet.directory / f"bundle-{device_id}"
    fleet.command("device", "add", device_id, "--bundle", str(where))
    return TlsFiles.within(where)


def renew(fleet, files, device_id, tries=TRIES):
    with contextlib.closing(Client(fleet, files, tries=tries)) as client:
        return client.ask("simplereenroll", request(device_id))[:2]


def test_renewal_is_for_good_certificates_of_ours(fleet):
    good, bad = bundle(fleet, "r-1"), bundle(fleet, "r-2")
    assert renew(fleet, good, "r-1")[0] == 200
    assert renew(fleet, good, "r-2") == (403, b"refused: identity_mismatch\n")
    assert renew(fleet, None, "r-1") == (401, b"not authorised\n")
    fleet.command("device", "revoke", "r-2")
    assert renew(fleet, bad, "r-2") == (403, b"refused: revoked\n")
    fleet.command("device", "update", "r-1", "--standing", "suspended")
    assert renew(fleet, good, "r-1") == (403, b"refused: suspended\n")
    operator = TlsFiles.within(fleet.operator)
    assert renew(fleet, operator, "admin") == (403, b"refused: role\n")
    ended = fleet.issue(Role.DEVICE, "r-3", days=-1)
    assert renew(fleet, ended, "r-3")[0] == 403
    # A certificate that enrolled once is no token, nor a birth certificate.
    with contextlib.closing(Client(fleet, good)) as client:
        assert client.ask("simpleenroll", request("r-1"))[:2] == (403, b"refused: untrusted\n")


def test_a_strangers_certificate_gets_no_session(fleet, tmp_path):
    now = datetime.now(UTC)
    other = pki.create_issuing(pki.create_root("ward.example", now), now)
    subject = pki.Subject(Role.DEVICE, "a-1")
    files, _ = pki.make_identity(other, subject, tmp_path, pki.Validity.days(now, 1))
    before = refused(fleet, "untrusted")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        renew(fleet, files, "a-1", tries=1)
    deadline = time.monotonic() + WAIT_S
    while refused(fleet, "untrusted") == before:  # it hears of it before it is counted
        assert time.monotonic() < deadline
    assert refused(fleet, "untrusted") == before + 1


def test_a_holder_that_renews_without_end_is_slowed_down(fleet):
    files = bundle(fleet, "s-1")
    statuses = [renew(fleet, files, "s-1")[0] for _ in range(6)]
    assert statuses == [200] * 6
    while statuses[-1] != 429:  # six a minute go on; nobody is that slow for long
        statuses.append(renew(fleet, files, "s-1")[0])
        assert len(statuses) < 60
    assert renew(fleet, bundle(fleet, "s-2"), "s-2")[0] == 200
