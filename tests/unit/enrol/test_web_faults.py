"""A fault of ours is counted where an alert rule sees it, from 0 on."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from fleet.config import RevocationTable, WebTable
from fleet.metrics import METRICS
from fleet.web.est import EstResource
from fleet.web.revocation import RevocationResource
from tests.fakes import FakeClock, FakeCounters


class Broken:
    """Whatever is asked of it fails."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __call__(self, *_):
        raise RuntimeError


async def test_faults_of_enrolment():
    counters = FakeCounters(METRICS)
    broken: Any = Broken()
    resource = EstResource(
        broken, broken, broken, WebTable("127.0.0.1:0"), FakeClock(), counters, broken
    )
    key = ("enrolment_requests", "cacerts", "500")
    assert counters.counts.get(key) == 0
    request = make_mocked_request("GET", "/.well-known/est/cacerts")
    with pytest.raises(RuntimeError):
        await resource.handle(request)
    assert counters.counts[key] == 1


@pytest.mark.parametrize(("kind", "path"), [("crl", "/crl/a.crl"), ("ocsp", "/ocsp/AAAA")])
async def test_faults_of_revocation(kind, path, monkeypatch):
    counters = FakeCounters(METRICS)
    broken: Any = Broken()
    resource = RevocationResource(broken, broken, RevocationTable(), FakeClock(), counters, broken)
    key = ("revocation_requests", kind, "500")
    assert counters.counts.get(key) == 0
    monkeypatch.setattr(resource, "_asked", broken, raising=True)
    with pytest.raises(RuntimeError):
        await resource.handle(make_mocked_request("GET", path))
    assert counters.counts[key] == 1
