"""The audit log: an RFC 6962 style Merkle log with signed heads.

``form`` is what stands on disk, ``log`` writes it, ``checking`` checks and proves, ``merkle`` is
the tree, ``retention`` says what goes; ``atna`` and ``syslog`` carry entries to a collector.
"""

from security.audit.checking import Verified, verify
from security.audit.config import AuditConfig
from security.audit.form import AuditBrokenError, Checkpoint, TreeHead
from security.audit.keys import load_or_create_key, load_public_key
from security.audit.log import AuditLog

__all__ = [
    "AuditBrokenError",
    "AuditConfig",
    "AuditLog",
    "Checkpoint",
    "TreeHead",
    "Verified",
    "load_or_create_key",
    "load_public_key",
    "verify",
]
