"""Every metric of the fleet service; names get the prefix ``wardgate_fleet_``."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.telemetry import Declared

METRICS: Mapping[str, Declared] = {
    "devices": Declared("gauge", "Registered devices", ("health",)),
    "device_faults": Declared("gauge", "Devices with a fault", ("fault",)),
    "health_changes": Declared("counter", "Changes of a device's health", ("to",)),
    "gateways": Declared("gauge", "Known gateways", ("attached",)),
    "reports": Declared("counter", "Health reports received", ()),
    "unregistered": Declared("counter", "Reported devices that are not registered", ()),
    "enrolled": Declared("counter", "Certificates issued to devices", ()),
    "renewed": Declared("counter", "Certificates renewed by their holders", ("role",)),
    "enrolment_requests": Declared("counter", "Requests for enrolment", ("operation", "code")),
    "enrolment_refused": Declared("counter", "Requests and peers refused there", ("reason",)),
    "revocation_requests": Declared("counter", "OCSP and CRL requests", ("kind", "code")),
    "claims": Declared("gauge", "Things that nobody has registered", ("state",)),
    "web_handshakes": Declared("counter", "TLS handshakes of the web listener", ()),
    "web_handshakes_failed": Declared("counter", "Those that failed", ("reason",)),
    "revocations": Declared("gauge", "Revoked certificates that have not ended", ()),
    "revoked": Declared("counter", "Certificates revoked", ("role",)),
    "calls": Declared("counter", "Calls by operators", ("method", "code")),
    "refused": Declared("counter", "Calls and streams refused", ("reason",)),
    "audit_syslog_connected": Declared("gauge", "1 while the audit collector takes entries", ()),
    "audit_syslog_sent": Declared("counter", "Entries sent to the collector, repeats too", ()),
    "certificate_seconds_left": Declared("gauge", "Until a certificate of ours ends", ("use",)),
    "policy_rollout_paused": Declared("gauge", "1 while a policy's rollout is paused", ()),
    "radius_certificates": Declared("gauge", "Certificates that may attach to the network", ()),
    "radius_fails": Declared("gauge", "1 while FreeRADIUS' configuration can't be made", ()),
    "radius_attachments": Declared("counter", "Attachments that it judged", ("result",)),
    "radius_sessions": Declared("gauge", "Sessions of SMFs that are known", ()),
    "radius_disconnects": Declared("counter", "Sessions that SMFs were to end", ("outcome",)),
    "radius_unread": Declared("counter", "Lines of its log that can't be read", ()),
    "renewals": Declared("counter", "Renewals of our certificates", ("result",)),
    "renewal_fails": Declared("gauge", "1 while a renewal keeps failing", ("use",)),
}
