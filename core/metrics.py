"""Every metric of the core; names get the prefix ``wardgate_core_``."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.telemetry import Declared

METRICS: Mapping[str, Declared] = {
    "records": Declared("counter", "Records stored", ()),
    "duplicates": Declared("counter", "Records not stored: their message id is here", ()),
    "redelivered": Declared("counter", "Records sent again after a lost acknowledgement", ()),
    "gaps": Declared("counter", "Ranges of sequence numbers lost, missing or rejected", ()),
    "rejected": Declared("counter", "Batches rejected", ("kind", "reason")),
    "refused": Declared("counter", "Streams refused", ("reason",)),
    "audit_heads": Declared("counter", "Heads of gateways' audit logs", ("verdict",)),
    "streams": Declared("gauge", "Open streams", ()),
    "waiting_batches": Declared("gauge", "Batches taken and not yet stored", ("lane",)),
    "commit_seconds": Declared("histogram", "One transaction with its sync", ()),
    "store_bytes": Declared("gauge", "Bytes of the store in use, without free pages", ()),
    "store_oldest_seconds": Declared("gauge", "Since the oldest report was stored", ()),
    "pruned": Declared("counter", "Rows deleted by the retention", ("table",)),
    "fleet_connected": Declared(
        "gauge", "1 while the fleet tells us the revocations; -1 without one", ()
    ),
    "revocations": Declared("gauge", "Entries of the revocation list in force", ()),
    "revocations_age_seconds": Declared("gauge", "Since the revocation list was signed", ()),
    "revoked_streams": Declared("counter", "Live streams ended by a revocation", ()),
    "renewals": Declared("counter", "Renewals of our certificate", ("result",)),
    "renewal_fails": Declared("gauge", "1 while a renewal keeps failing", ()),
}
