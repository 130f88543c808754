"""Every body that the published files allow, both publishers', is read, or refused."""

import contextlib
import json
from functools import cache

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import MalformedError
from gateway.mec import apps, location, mobility, radio, rules
from gateway.mec.http import Answer, PlatformError, _detail, made_name
from gateway.mec.reading import decoded, is_courtesy
from tests.bodies import bodies
from tests.openapi import SHARED_FILES, needs_openapi

pytestmark = [pytest.mark.shared, needs_openapi]
SUPPORT = ("etsi-forge/MEC011_MecAppSupportApi.yaml", "advantedge/MEC011_app-support.yaml")
SERVICES = ("etsi-forge/MEC011_MecServiceMgmtApi.yaml", "advantedge/MEC011_service-mgmt.yaml")
RADIO = ("etsi-forge/MEC012_RniAPI.yaml", "advantedge/MEC012_rnis.yaml")
LOCATION = ("etsi-forge/MEC013_LocationAPI.yaml", "advantedge/MEC013_location.yaml")
BANDWIDTH = ("etsi-forge/MEC015_BwManagementApi.yaml",)
MOBILITY = ("advantedge/MEC021_ams.yaml",)


def traffic(body):
    (rule,) = rules.read_traffic_rules(b"[" + body + b"]")
    assert isinstance(rule, rules.TrafficRule)
    rules.judge((rule,), (), rules=(), dns_rules=(), campus=())


def dns(body):
    (rule,) = rules.read_dns_rules(b"[" + body + b"]")
    assert isinstance(rule, rules.DnsRule)


def within(name, read):
    return lambda body: read(json.dumps({name: json.loads(body)}).encode())


def made(*path):
    return lambda body: made_name(Answer(201, body), *path)


def moved(body):
    told = mobility.read_moved(body)
    assert "" not in told.addresses
    assert told.target.count(" ") == 0


def users(body):
    return decoded(body, location._UserList, "users")


ALWAYS = (
    *((name, "TrafficRule", traffic) for name in SUPPORT),
    *((name, "DnsRule", dns) for name in SUPPORT),
    *((name, "TimingCaps", apps._read_sources) for name in SUPPORT),
    *((name, "ProblemDetails", _detail) for name in SUPPORT),
    *((name, "CellChangeNotification", radio.read_radio) for name in RADIO),
    *(
        (
            name,
            "ZonalPresenceNotification",
            within("zonalPresenceNotification", location.read_zonal),
        )
        for name in LOCATION
    ),
    *((name, "UserList", within("userList", users)) for name in LOCATION),
)
"""All of these can be read."""
MOSTLY = (
    *((name, "CurrentTime", apps.read_time) for name in SUPPORT),
    *((name, "AppTerminationNotification", apps.read_termination) for name in SUPPORT),
    *((name, "AppTerminationNotificationSubscription", made()) for name in SUPPORT),
    *((name, "ServiceInfo", made("serInstanceId")) for name in SERVICES),
    *((name, "NrMeasRepUeNotification", radio.read_radio) for name in RADIO),
    *(
        (
            name,
            "SubscriptionNotification",
            within("subscriptionNotification", location.read_crossing),
        )
        for name in LOCATION
    ),
    *((name, "BwInfo", made("allocationId")) for name in BANDWIDTH),
    *((name, "MobilityProcedureNotification", moved) for name in MOBILITY),
)
"""Types that allow more than a meaning: negative times, subscriptions of others, no name at all."""


@cache
def document(name):
    return yaml.safe_load((SHARED_FILES / name).read_text())


def values(name, kind):
    """Of a type; what a notification calls itself, the files say in words alone."""

    def named(value):
        known = isinstance(value, dict) and "notificationType" in value
        return json.dumps(value | {"notificationType": kind} if known else value).encode()

    found = document(name)
    assert kind in found["components"]["schemas"]
    return bodies(found, {"$ref": f"#/components/schemas/{kind}"}).map(named)


def ids(cases):
    return [f"{name.partition('/')[0]}-{kind}" for name, kind, _ in cases]


few = settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(("name", "kind", "read"), ALWAYS, ids=ids(ALWAYS))
@few
@given(data=st.data())
def test_what_a_file_allows_is_read(name, kind, read, data):
    read(data.draw(values(name, kind)))


@pytest.mark.parametrize(("name", "kind", "read"), MOSTLY, ids=ids(MOSTLY))
@few
@given(data=st.data())
def test_what_makes_no_sense_is_refused(name, kind, read, data):
    body = data.draw(values(name, kind))
    assert not is_courtesy(body)
    with contextlib.suppress(MalformedError, PlatformError):
        read(body)


@pytest.mark.parametrize("name", [*RADIO, *MOBILITY])
@few
@given(data=st.data())
def test_a_notice_of_an_end_is_known(name, data):
    assert is_courtesy(data.draw(values(name, "ExpiryNotification")))
