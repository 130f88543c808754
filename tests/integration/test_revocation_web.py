"""OCSP and CRLs, asked for by openssl and curl over plain HTTP and over TLS."""

import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from security import pki
from tests.integration.fleet_process import Fleet

URL = "http://fleet.ward.example:7480"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    extra = f'[revocation]\nlisten = "127.0.0.1:0"\nurl = "{URL}"\n'
    made = Fleet(tmp_path_factory.mktemp("fleet"), extra)
    made.start()
    yield made
    made.close()


class Asker:
    """A directory with certificates, and openssl and curl."""

    def __init__(self, fleet, directory):
        self.fleet, self.directory = fleet, directory
        self.base = f"http://127.0.0.1:{fleet.revocation_port}"
        (directory / "root.pem").write_bytes((fleet.directory / "authority/root.pem").read_bytes())
        (directory / "ca.pem").write_bytes((fleet.directory / "authority/ca.pem").read_bytes())

    def add(self, name):
        bundle = self.directory / name
        self.fleet.command("device", "add", name, "--bundle", str(bundle))
        leaf = pki.load_certificates(bundle / "cert.pem")[0]
        (self.directory / f"{name}.pem").write_bytes(pki.to_pem(leaf))
        return leaf

    def run(self, *arguments):
        return subprocess.run(
            arguments, cwd=self.directory, capture_output=True, text=True, check=False, timeout=60
        )

    def ocsp(self, name, *options):
        """What openssl makes of the answer, its signature verified."""
        done = self.run(
            *("openssl", "ocsp", "-url", f"{self.base}/ocsp", "-issuer", "ca.pem"),
            *("-CAfile", "root.pem", "-verify_other", "ca.pem", "-cert", f"{name}.pem", *options),
        )
        assert "Response verify OK" in done.stderr, done.stderr
        return done.stdout

    def crl(self, leaf):
        """Fetch the list that a certificate names, and give it to openssl."""
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        (name,) = points[0].full_name
        assert name.value.startswith(f"{URL}/crl/")
        path = self.directory / "list.der"
        done = self.run("curl", "-sSf", "-o", str(path), name.value.replace(URL, self.base))
        assert not done.returncode, done.stderr
        found = x509.load_der_x509_crl(path.read_bytes())
        (self.directory / "list.pem").write_bytes(found.public_bytes(Encoding.PEM))
        return found

    def verify(self, name):
        return self.run(
            *("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "ca.pem"),
            *("-crl_check", "-CRLfile", "list.pem", f"{name}.pem"),
        )


@pytest.fixture
def asker(fleet, tmp_path):
    return Asker(fleet, tmp_path)


def test_openssl_sees_a_revocation_by_ocsp_and_by_list(fleet, asker):
    good, bad = asker.add("ocsp-good"), asker.add("ocsp-bad")
    access = good.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert [
        each.access_location.value
        for each in access
        if each.access_method == AuthorityInformationAccessOID.OCSP
    ] == [f"{URL}/ocsp"]
    first = asker.crl(good)
    assert asker.verify("ocsp-bad").returncode == 0
    assert "ocsp-bad.pem: good" in asker.ocsp("ocsp-bad")
    fleet.command("device", "revoke", "ocsp-bad", "--reason", "key compromise")
    said = asker.ocsp("ocsp-bad")
    assert "ocsp-bad.pem: revoked" in said
    assert "keyCompromise" in said
    assert "ocsp-good.pem: good" in asker.ocsp("ocsp-good", "-no_nonce")
    second = asker.crl(good)

    def number(found):
        return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    assert number(second) > number(first)
    assert second.get_revoked_certificate_by_serial_number(bad.serial_number)
    refused = asker.verify("ocsp-bad")
    assert refused.returncode
    assert "certificate revoked" in refused.stderr
    assert asker.verify("ocsp-good").returncode == 0
    assert asker.crl(good) == second  # from memory


def test_a_certificate_that_was_never_noted_is_unknown(fleet, asker):
    files = fleet.issue(pki.Role.DEVICE, "ocsp-stray")
    leaf = pki.load_certificates(files.cert)[0]
    (asker.directory / "ocsp-stray.pem").write_bytes(pki.to_pem(leaf))
    assert "ocsp-stray.pem: unknown" in asker.ocsp("ocsp-stray")


def question(asker, leaf):
    issuer = pki.load_certificates(asker.directory / "ca.pem")[0]
    built = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    return built.public_bytes(Encoding.DER)


def fetch(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_ocsp_by_get_as_the_rfc_has_it(asker):
    leaf = asker.add("ocsp-get")
    text = b64encode(question(asker, leaf)).decode()
    for path in (quote(text, safe=""), quote(text, safe="/+=")):
        status, headers, body = fetch(f"{asker.base}/ocsp/{path}")
        assert (status, headers["Content-Type"]) == (200, "application/ocsp-response")
        answer = ocsp.load_der_ocsp_response(body)
        assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert answer.serial_number == leaf.serial_number


@pytest.mark.parametrize(
    ("path", "data", "method", "status"),
    [
        ("/ocsp/%%%", None, "GET", 400),
        ("/ocsp", b"x" * 100_000, "POST", 400),
        ("/ocsp", None, "DELETE", 405),
        ("/crl/0123456789abcdef.crl", None, "GET", 404),
        ("/crl/../../etc/passwd", None, "GET", 404),
        ("/.well-known/est/cacerts", None, "GET", 404),
        ("/", None, "GET", 404),
    ],
)
def test_what_is_no_question_gets_no_answer(asker, path, data, method, status):
    assert fetch(f"{asker.base}{path}", data, method)[0] == status


def test_garbage_is_answered_as_such(asker):
    _, _, body = fetch(f"{asker.base}/ocsp", b"garbage", "POST")
    status = ocsp.load_der_ocsp_response(body).response_status
    assert status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def test_the_tls_listener_serves_it_too(fleet, asker):
    leaf = asker.add("ocsp-tls")
    (asker.directory / "question").write_bytes(question(asker, leaf))
    done = asker.run(
        *("curl", "-sSf", "--cacert", "root.pem", "--data-binary", "@question", "-o", "answer"),
        f"https://127.0.0.1:{fleet.est_port}/ocsp",
    )
    assert not done.returncode, done.stderr
    answer = ocsp.load_der_ocsp_response((asker.directory / "answer").read_bytes())
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
