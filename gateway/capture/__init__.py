"""A device's raw bytes, recorded on request: sealed, limited, audited (docs/capture.md)."""
