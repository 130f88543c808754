"""The release policy: Cedar text -> what may happen to each kind of data, per destination.

``examine`` says what a text may say, ``compile`` asks Cedar and makes the table that the gateway
uses, ``invariants`` reads what the hospital holds true of every policy, ``proof`` checks it,
``diff`` compares two tables, and ``words`` puts all of it into sentences.
"""

from security.policy.compile import (
    LABELS,
    ORDER,
    Asked,
    Decision,
    PolicyTable,
    compile_policy,
    default_policy,
    explain,
    matrix,
    schema,
)
from security.policy.diff import Change, Kind, differences, widenings
from security.policy.examine import POLICY_BYTES_MAX, PolicyError, Rule
from security.policy.invariants import Invariant, default_invariants, read_invariants
from security.policy.proof import Proof, differences_everywhere, prove, verified_policy

__all__ = [
    "LABELS",
    "ORDER",
    "POLICY_BYTES_MAX",
    "Asked",
    "Change",
    "Decision",
    "Invariant",
    "Kind",
    "PolicyError",
    "PolicyTable",
    "Proof",
    "Rule",
    "compile_policy",
    "default_invariants",
    "default_policy",
    "differences",
    "differences_everywhere",
    "explain",
    "matrix",
    "prove",
    "read_invariants",
    "schema",
    "verified_policy",
    "widenings",
]
