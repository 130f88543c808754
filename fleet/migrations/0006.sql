-- Dangerous calls that wait for a second person, and what became of them.
CREATE TABLE approvals (
  approval_id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  parameters TEXT NOT NULL,           -- canonical JSON
  digest TEXT NOT NULL,               -- SHA-256 of kind and parameters, hexadecimal
  requested_by TEXT NOT NULL,
  requested_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  state TEXT NOT NULL,
  decided_by TEXT NOT NULL DEFAULT '',
  decided_us INTEGER NOT NULL DEFAULT 0,
  detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX approvals_open ON approvals (state) WHERE state IN ('pending', 'approved');
