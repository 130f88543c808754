"""What a network tells: CloudEvents of Geofencing Subscriptions."""

import json

import pytest

from gateway.domain.errors import MalformedError
from gateway.networkapi.events import read_geofence
from gateway.networkapi.interface import Crossing, Edge, Ended

NAME = "org.camaraproject.geofencing-subscriptions.v0."


def event(kind, **changed):
    return json.dumps(
        {
            "id": "123655",
            "source": "https://notifications.operator.example",
            "type": NAME + kind,
            "specversion": "1.0",
            "datacontenttype": "application/json",
            "time": "2023-03-22T05:40:58.469Z",
            "data": {"subscriptionId": "987654321", "terminationReason": "SUBSCRIPTION_EXPIRED"},
        }
        | changed
    ).encode()


def test_crossings_are_told_with_their_time():
    at_us = 1_679_463_658_469_000
    assert read_geofence(event("area-entered")) == Crossing("987654321", Edge.ENTERED, at_us)
    assert read_geofence(event("area-left")) == Crossing("987654321", Edge.LEFT, at_us)


def test_the_end_of_a_subscription_is_told_and_its_beginning_is_not():
    assert read_geofence(event("subscription-ended")) == Ended("987654321", "SUBSCRIPTION_EXPIRED")
    assert read_geofence(event("subscription-started")) is None
    assert read_geofence(event("subscription-updated")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        event("area-moved"),
        event("area-left", specversion="0.3"),
        event("area-left", type="org.camaraproject.device-roaming.v0.roaming-on"),
        event("area-left", time="2023-03-22T05:40:58"),
        event("area-left", data={}),
    ],
    ids=["empty", "list", "bytes", "type", "version", "interface", "zone", "subscription"],
)
def test_what_is_none_is_refused(body):
    with pytest.raises(MalformedError):
        read_geofence(body)
