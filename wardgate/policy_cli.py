"""``wardgate policy``: what a gateway makes of a policy, and how the fleet signs and brings it."""

from __future__ import annotations

from fleet.policy_cli import app
from gateway.policy_cli import policy_app

app.registered_commands[:0] = policy_app.registered_commands
