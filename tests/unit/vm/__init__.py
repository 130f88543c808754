"""The emulated machine's disk."""
