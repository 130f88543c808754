"""The driver keeps what every driver keeps."""

from contract.suite import *  # noqa: F403

DRIVERS = {"pulse"}
