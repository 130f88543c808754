"""Interfaces of a network of which no file is at hand where the tests run, in words of our own.

Only what the gateway asks and reads is here, as tightly as the interface has it; what was checked
against the published files by hand is told in docs/network-apis.md.
"""

from __future__ import annotations

from typing import Any, Final

Document = dict[str, Any]


def _body(schema: Document) -> Document:
    return {"content": {"application/json": {"schema": schema}}}


def _object(required: tuple[str, ...], **properties: Document) -> Document:
    return {"type": "object", "required": list(required), "properties": properties}


def _dated(field: str) -> Document:
    """``POST /retrieve-date``: a number, and when something of it last changed."""
    number = {"type": "string", "pattern": r"^\+[1-9][0-9]{4,14}$"}
    # By a two-legged token, the number has to be said: 422 MISSING_IDENTIFIER else.
    asked = _object(("phoneNumber",), phoneNumber=number) | {"additionalProperties": False}
    date = {
        "type": ["string", "null"],
        "pattern": r"^[0-9-]{10}T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2})$",
    }
    told = _object((field,), monitoredPeriod={"type": "integer"})
    told["properties"][field] = date
    error = _body(_object(("status", "code", "message")))
    answers = {"200": _body(told)} | dict.fromkeys(("400", "401", "403", "404", "422"), error)
    post = {"requestBody": _body(asked), "responses": answers}
    return {"paths": {"/retrieve-date": {"post": post}}, "components": {}}


SIM_SWAP: Final = _dated("latestSimChange")
"""CAMARA SIM Swap 2.1.0, ``CreateSimSwapDate`` and ``SimSwapInfo``."""
DEVICE_SWAP: Final = _dated("latestDeviceChange")
"""CAMARA Device Swap 1.0.0, ``CreateDeviceSwapDate`` and ``DeviceSwapInfo``."""


_TEXT: Final[Document] = {"type": "string", "minLength": 1}
_IPV4: Final[Document] = {"type": "string", "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}$"}
_NO_BODY: Final[Document] = {"description": "done"}
_PROBLEMS: Final[Document] = dict.fromkeys(
    ("400", "401", "403", "404", "429", "503"), _body(_object(()))
)


def _subscriptions(asked: Document, made: Document, more: Document) -> Document:
    """The resources of TS 29.122: a collection per AF, and one of it (5.3.3, 5.14.3)."""
    several = {"type": "array", "items": made}
    one = {"200": _body(made)} | _PROBLEMS
    return {
        "paths": {
            "/{scsAsId}/subscriptions": {
                "get": {"responses": {"200": _body(several)} | _PROBLEMS},
                "post": {
                    "requestBody": _body(asked),
                    "responses": {"201": _body(made)} | more | _PROBLEMS,
                },
            },
            "/{scsAsId}/subscriptions/{subscriptionId}": {
                "get": {"responses": one},
                "delete": {"responses": {"204": _NO_BODY} | one},
            },
        },
        "components": {},
    }


_RULE: Final = r"^permit (in|out) (ip|[0-9]+) from \S+( [0-9,-]+)? to \S+( [0-9,-]+)?$"
_FLOW: Final = _object(
    ("flowId", "flowDescriptions"),
    flowId={"type": "integer"},
    flowDescriptions={
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {"type": "string", "pattern": _RULE},
    },
)
_QUALITY: Final = _object(
    ("notificationDestination", "ueIpv4Addr", "qosReference", "flowInfo"),
    notificationDestination=_TEXT,
    ueIpv4Addr=_IPV4,
    qosReference=_TEXT,
    flowInfo={"type": "array", "minItems": 1, "items": _FLOW},
    self=_TEXT,
)
AS_SESSION_WITH_QOS: Final = _subscriptions(
    _QUALITY | {"additionalProperties": False, "not": {"required": ["self"]}}, _QUALITY, {}
)
"""TS 29.122, 5.14.2.1.2 ``AsSessionWithQoSSubscription``; a rule: TS 29.214, 5.3.8."""

_TIME: Final[Document] = {
    "type": "string",
    "pattern": r"^[0-9-]{10}T[0-9:]{8}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$",
}
_REPORT: Final = _object(
    ("monitoringType",),
    monitoringType=_TEXT,
    imeiChange={"enum": ["IMEI", "IMEISV"]},
    msisdn=_TEXT,
    eventTime=_TIME,
    locationInfo=_object(
        (),
        ageOfLocationInfo={"type": "integer", "minimum": 0},
        geographicArea=_object(("shape",), shape=_TEXT),
    ),
)
_MONITORING: Final = _object(
    ("notificationDestination", "monitoringType"),
    notificationDestination=_TEXT,
    monitoringType={"enum": ["LOCATION_REPORTING", "CHANGE_OF_IMSI_IMEI_ASSOCIATION"]},
    associationType={"enum": ["IMEI", "IMEISV"]},
    monitorExpireTime=_TIME,
    msisdn={"type": "string", "pattern": "^[0-9]{5,15}$"},
    ipv4Addr=_IPV4,
    maximumNumberOfReports={"type": "integer", "minimum": 1},
    locationType={"enum": ["CURRENT_LOCATION", "LAST_KNOWN_LOCATION"]},
    accuracy={"enum": ["CGI_ECGI", "TA_RA", "GEO_AREA"]},
    self=_TEXT,
)
_ASKED: Final = _MONITORING | {
    "additionalProperties": False,
    "not": {"required": ["self"]},
    "oneOf": [{"required": ["msisdn"]}, {"required": ["ipv4Addr"]}],
    "anyOf": [{"required": ["maximumNumberOfReports"]}, {"required": ["monitorExpireTime"]}],
    "allOf": [
        {
            "if": {"properties": {"monitoringType": {"pattern": "^CHANGE"}}},
            "then": {"required": ["associationType"]},
        }
    ],
}
_REPORTS: Final = _object(
    ("monitoringEventReports",),
    monitoringEventReports={"type": "array", "minItems": 1, "items": _REPORT},
)
MONITORING_EVENT: Final = _subscriptions(
    _ASKED, _MONITORING, {"200": _body({"anyOf": [_REPORT, _REPORTS]})}
)
"""TS 29.122, 5.3.2.1.2 ``MonitoringEventSubscription``, 5.3.2.3.2 ``MonitoringEventReport``."""
MONITORING_EVENT["components"] = {
    "schemas": {
        "MonitoringNotification": _object(
            ("subscription",),
            subscription=_TEXT,
            monitoringEventReports={"type": "array", "minItems": 1, "items": _REPORT},
            cancelInd={"type": "boolean"},
        )
    }
}
"""5.3.2.1.3 ``MonitoringNotification``."""
