-- Enrolment: one-time tokens, certificates as they were issued, manufacturers, and claims.

-- Kept so that a holder whose answer got lost can be given the same certificate again.
CREATE TABLE certificates (
  serial TEXT PRIMARY KEY REFERENCES credentials (serial),
  key_sha256 BLOB NOT NULL,           -- of the SubjectPublicKeyInfo
  der BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_of_key ON certificates (key_sha256);

-- The newest token of a device; an older one is void.
CREATE TABLE tokens (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  token_sha256 BLOB NOT NULL,
  issued_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  issued_by TEXT NOT NULL,
  used_us INTEGER NOT NULL DEFAULT 0,
  serial TEXT NOT NULL DEFAULT ''     -- the certificate that it was exchanged for
) STRICT, WITHOUT ROWID;

CREATE TABLE manufacturers (
  name TEXT PRIMARY KEY,
  root BLOB NOT NULL UNIQUE,          -- DER
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Which manufactured thing is which device.
CREATE TABLE idevids (
  manufacturer TEXT NOT NULL REFERENCES manufacturers (name) ON DELETE CASCADE,
  serial_number TEXT NOT NULL,
  device_id TEXT NOT NULL UNIQUE REFERENCES devices (device_id),
  bound_us INTEGER NOT NULL,
  bound_by TEXT NOT NULL,
  PRIMARY KEY (manufacturer, serial_number)
) STRICT, WITHOUT ROWID;

-- Manufactured things that asked for a certificate before anybody registered them.
CREATE TABLE claims (
  claim_id INTEGER PRIMARY KEY,
  manufacturer TEXT NOT NULL REFERENCES manufacturers (name) ON DELETE CASCADE,
  serial_number TEXT NOT NULL,
  subject TEXT NOT NULL,              -- of its certificate, for people
  peer TEXT NOT NULL,
  first_us INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  rejected_by TEXT NOT NULL DEFAULT '',
  UNIQUE (manufacturer, serial_number)
) STRICT;
