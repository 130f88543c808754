"""Every registered driver keeps the contract."""

from contract.suite import *  # noqa: F403
