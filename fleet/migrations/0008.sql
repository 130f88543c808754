-- Release policies that were signed, for whom, and how they are rolled out.
CREATE TABLE policies (
  number INTEGER PRIMARY KEY,
  text TEXT NOT NULL,                 -- Cedar
  invariants TEXT NOT NULL,
  signed_us INTEGER NOT NULL,
  proposed_by TEXT NOT NULL,          -- empty: the fleet's own host
  approved_by TEXT NOT NULL           -- empty: nobody had to
) STRICT;
-- The bundle of one gateway; '' is every gateway's (signed on the host).
CREATE TABLE policy_bundles (
  number INTEGER NOT NULL REFERENCES policies,
  gateway TEXT NOT NULL,
  compared_with INTEGER NOT NULL,     -- the policy that was in force there; 0: none
  destinations TEXT NOT NULL,         -- JSON; null: not bound to any
  widened TEXT NOT NULL,              -- JSON: what leaves that did not before
  issued_us INTEGER NOT NULL,
  signer TEXT NOT NULL,               -- the issuing CA's id
  bundle BLOB NOT NULL,
  PRIMARY KEY (number, gateway)
) STRICT, WITHOUT ROWID;
-- What each gateway last said of its policy and destinations, and which policy it is to have.
CREATE TABLE policy_gateways (
  gateway TEXT PRIMARY KEY,
  wanted INTEGER NOT NULL DEFAULT 0,
  facts BLOB NOT NULL DEFAULT x''     -- PolicyFacts
) STRICT, WITHOUT ROWID;
CREATE TABLE policy_rollouts (
  rollout_id INTEGER PRIMARY KEY AUTOINCREMENT,
  number INTEGER NOT NULL REFERENCES policies,
  stages TEXT NOT NULL,               -- JSON: lists of gateways
  skipped TEXT NOT NULL,              -- JSON: gateways that nobody waits for
  soak_us INTEGER NOT NULL,
  wait_us INTEGER NOT NULL,
  manual INTEGER NOT NULL,
  started_by TEXT NOT NULL,
  started_us INTEGER NOT NULL,
  -- What goes on:
  state TEXT NOT NULL,
  stage INTEGER NOT NULL,
  stage_us INTEGER NOT NULL,          -- when the stage was told, or told again
  since_us INTEGER NOT NULL,          -- in this state
  silence_accepted INTEGER NOT NULL,  -- 1: an operator has seen that this stage releases nothing
  reason TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX policy_rollout_open ON policy_rollouts ((1))
  WHERE state NOT IN ('done', 'aborted');
