"""EST over real sockets, with others' clients: curl and openssl, and Debian's ``pki``."""

import json
import subprocess
import urllib.request

import pytest
from cryptography import x509

from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from tests.integration.fleet_process import Fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.start()
    yield made
    made.close()


def ask(fleet, method, response, **words):
    request = getattr(pb, f"{method}Request")(**words)
    with fleet.client() as client:
        return client.call(method, request, response)


def token(fleet, device_id, **words):
    return ask(fleet, "AddDevice", pb.AddDeviceResponse, device_id=device_id, token=True, **words)


class Bench:
    """A directory where an engineer works with others' tools."""

    def __init__(self, fleet, directory, device_id):
        self.fleet, self.directory, self.device_id = fleet, directory, device_id
        self.url = f"https://127.0.0.1:{fleet.est_port}"
        self.base = f"{self.url}/.well-known/est"
        self.root = fleet.directory / "service" / "ca.pem"
        self.request("key.pem", "req")

    def run(self, *arguments, stdin=None, good=True):
        done = subprocess.run(
            arguments, cwd=self.directory, capture_output=True, input=stdin, check=False, timeout=60
        )
        assert not good or not done.returncode, done.stderr.decode()
        return done

    def request(self, key, name, subject=None):
        """A key and a request for it, by openssl."""
        subject = subject or f"/CN={self.device_id}"
        ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.run(
            *("openssl", "req", "-new", *ec, "-keyout", key, "-subj", subject),
            *("-outform", "DER", "-out", f"{name}.der"),
        )
        self.run("openssl", "base64", "-in", f"{name}.der", "-out", f"{name}.b64")

    def curl(self, operation, *options):
        """Status, media type and the headers of what curl got; the body is in ``out``."""
        done = self.run(
            *("curl", "-sS", "--cacert", str(self.root), "-o", "out", "-w", "%{json}"),
            *(f"{self.base}/{operation}", *options),
        )
        said = json.loads(done.stdout)
        return said["http_code"], said["content_type"]

    def post(self, operation, *options, body="req.b64"):
        return self.curl(
            operation,
            "-H",
            "Content-Type: application/pkcs10",
            "--data-binary",
            f"@{body}",
            *options,
        )

    def certificates(self, to):
        """What openssl reads in the last answer."""
        der = self.run("openssl", "base64", "-d", "-A", "-in", "out").stdout
        self.run("openssl", "pkcs7", "-inform", "DER", "-print_certs", "-out", to, stdin=der)
        return x509.load_pem_x509_certificates((self.directory / to).read_bytes())


@pytest.fixture
def bench(fleet, tmp_path, request):
    return Bench(fleet, tmp_path, request.node.name.replace("_", "-")[5:60])


def test_curl_and_openssl_enrol_repeat_and_renew(fleet, bench):
    given = token(fleet, bench.device_id)
    assert given.est_url == bench.base
    assert bench.curl("cacerts") == (200, "application/pkcs7-mime")
    authorities = bench.certificates("ca.pem")
    assert len(authorities) == 2
    assert bench.curl("csrattrs") == (200, "application/csrattrs")
    user = ("-u", f"{bench.device_id}:{given.token}")
    media = "application/pkcs7-mime; smime-type=certs-only"
    assert bench.post("simpleenroll", *user) == (200, media)
    (first,) = bench.certificates("cert.pem")
    bench.run("openssl", "verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "cert.pem")
    # The answer got lost: the same request gets the same certificate, another one nothing.
    assert bench.post("simpleenroll", *user)[0] == 200
    assert bench.certificates("again.pem") == [first]
    bench.request("other.pem", "other")
    assert bench.post("simpleenroll", *user, body="other.b64")[0] == 401
    # Renewed with the same key, then with a new one; curl sends the leaf alone.
    mine = ("--cert", "cert.pem", "--key", "key.pem")
    assert bench.post("simplereenroll", *mine) == (200, media)
    (second,) = bench.certificates("second.pem")
    assert second.public_key() == first.public_key()
    assert bench.post("simplereenroll", *mine, body="other.b64")[0] == 200
    (third,) = bench.certificates("third.pem")
    assert third.public_key() != first.public_key()
    assert len({each.serial_number for each in (first, second, third)}) == 3
    assert {each.subject for each in (first, second, third)} == {first.subject}
    bench.request("evil.pem", "evil", "/CN=somebody-else")
    assert bench.post("simplereenroll", *mine, body="evil.b64")[0] == 403
    assert (bench.directory / "out").read_text() == "refused: identity_mismatch\n"


def test_strongswan_enrols_and_renews(fleet, bench):
    given = token(fleet, bench.device_id)
    root = str(bench.root)
    bench.run("pki", "--estca", "--url", bench.url, "--cacert", root, "--caout", "ca.crt")
    trust = ("--url", bench.url, "--cacert", "ca.crt", "--cacert", "ca-1.crt", "--in", "req.der")
    user = ("--userpass", f"{bench.device_id}:{given.token}")
    first = x509.load_der_x509_certificate(bench.run("pki", "--est", *trust, *user).stdout)
    (bench.directory / "cert.pem").write_bytes(pki.to_pem(first))
    mine = ("--cert", "cert.pem", "--key", "key.pem")
    second = x509.load_der_x509_certificate(bench.run("pki", "--est", *trust, *mine).stdout)
    assert first.subject == second.subject
    assert first.serial_number != second.serial_number
    assert bench.run("pki", "--est", *trust, *user[:1], "x:y", good=False).returncode


def manufacturer(bench, serial_number):
    """A manufacturer's root and a thing that it made, by openssl."""
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    bench.run(
        *("openssl", "req", "-x509", *ec, "-keyout", "maker.key", "-out", "maker.pem"),
        *("-subj", "/O=Maker/CN=Maker root", "-days", "9000"),
    )
    bench.run(
        *("openssl", "req", "-x509", *ec, "-keyout", "born.key", "-out", "born.pem"),
        *("-CA", "maker.pem", "-CAkey", "maker.key", "-days", "9000"),
        *("-subj", f"/O=Maker/CN=Pump 3000/serialNumber={serial_number}"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
    )


def test_a_thing_with_a_birth_certificate_waits_and_is_let_in(fleet, bench):
    manufacturer(bench, "SN-7")
    born = ("--cert", "born.pem", "--key", "born.key")
    refused = bench.run(
        *("curl", "-sS", "--cacert", str(bench.root), *born, f"{bench.base}/cacerts"), good=False
    )
    assert refused.returncode  # nobody believes this manufacturer: not even a TLS session
    maker = str(bench.directory / "maker.pem")
    asked = fleet.command("manufacturer", "add", "maker", maker, check=False)
    assert (asked.returncode, "request 1 (add_manufacturer) waits" in asked.stdout) == (3, True)
    fleet.approve(1)
    assert "CN=Maker root" in fleet.command("manufacturer", "list").stdout
    own = fleet.command("manufacturer", "add", "us", str(bench.root), check=False)
    assert (own.returncode, "our own root" in own.stderr) == (2, True)
    bench.request("key.pem", "req", "/CN=SN-7")
    assert bench.post("simpleenroll", *born, "-D", "head")[0] == 202
    assert "Retry-After: 60" in (bench.directory / "head").read_text()
    assert "SN-7" in fleet.command("claim", "list").stdout
    (claim,) = json.loads(fleet.command("claim", "list", "--json").stdout)["claims"]
    number = claim["claim_id"]
    assert (claim["manufacturer"], claim["serial_number"]) == ("maker", "SN-7")
    assert "rejected" in fleet.command("claim", "reject", number).stdout
    assert bench.post("simpleenroll", *born)[0] == 403
    accepted = ("claim", "accept", number, "--device", "pump-7", "--kind", "drip", "--ward", "icu")
    assert "SN-7 is device pump-7" in fleet.command(*accepted).stdout
    assert fleet.command(*accepted, check=False).returncode == 2  # it is settled
    assert bench.post("simpleenroll", *born)[0] == 200
    (given,) = bench.certificates("cert.pem")
    assert "pump-7" in given.subject.rfc4514_string()
    # What its birth certificate gives it is an enrolment, no renewal, and no identity of ours.
    assert bench.post("simplereenroll", *born)[0] == 403
    fleet.command("manufacturer", "remove", "maker")
    assert "maker" not in fleet.command("manufacturer", "list").stdout
    assert bench.run(
        *("curl", "-sS", "--cacert", str(bench.root), *born, f"{bench.base}/cacerts"), good=False
    ).returncode


def metrics(fleet):
    url = f"http://127.0.0.1:{fleet.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


def counted(fleet, name, label):
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in metrics(fleet).splitlines()
        if line.startswith(f"wardgate_fleet_{name}") and f'"{label}"' in line
    )
