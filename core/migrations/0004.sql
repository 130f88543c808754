-- Signed heads of the gateways' audit logs, kept where a thief of a gateway does not reach.
CREATE TABLE audit_heads (
  id INTEGER PRIMARY KEY,
  gateway TEXT NOT NULL,
  log TEXT NOT NULL,             -- the log's random id
  size INTEGER NOT NULL,         -- entries that it covers
  root TEXT NOT NULL,            -- hexadecimal, as the next two
  key TEXT NOT NULL,             -- the key's id
  signature TEXT NOT NULL,
  public_key BLOB NOT NULL,
  signed_us INTEGER NOT NULL,
  received_us INTEGER NOT NULL,
  accepted INTEGER NOT NULL,     -- 0: evidence; it contradicts what was accepted before
  verdict TEXT NOT NULL          -- 'accepted', 'other_log', 'forked', …
) STRICT;
CREATE INDEX audit_heads_newest ON audit_heads (gateway, accepted, id);
CREATE INDEX audit_heads_by_log ON audit_heads (gateway, log, accepted, size);
