"""Recordings of devices, played against a gateway."""
