-- A store of schema 9, as `sqlite3 fleet.db .dump` wrote it.
BEGIN TRANSACTION;
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
CREATE TABLE certificates (
  serial TEXT PRIMARY KEY REFERENCES credentials (serial),
  key_sha256 BLOB NOT NULL,           -- of the SubjectPublicKeyInfo
  der BLOB NOT NULL
) STRICT, WITHOUT ROWID;
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
CREATE TABLE configurations (
  gateway TEXT PRIMARY KEY,
  version INTEGER NOT NULL,           -- of the number "configurations": never used twice
  document BLOB NOT NULL,             -- TOML
  set_us INTEGER NOT NULL,
  set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE credentials (
  serial TEXT PRIMARY KEY,            -- 40 hexadecimal digits
  role TEXT NOT NULL,
  id TEXT NOT NULL,
  issued_us INTEGER NOT NULL,
  not_after_us INTEGER NOT NULL,
  revoked_us INTEGER NOT NULL DEFAULT 0,
  revoked_reason TEXT NOT NULL DEFAULT ''
, issuer TEXT NOT NULL DEFAULT '') STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF','device','one',1,99,0,'','');
CREATE TABLE device_bindings (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  supi TEXT NOT NULL,
  gpsi TEXT NOT NULL,
  imei TEXT NOT NULL,
  dnn TEXT NOT NULL,
  snssai TEXT NOT NULL,
  tacs TEXT NOT NULL                  -- separated by blanks
) STRICT, WITHOUT ROWID;
INSERT INTO "device_bindings" VALUES('one','imsi-001010000000001','','49015420323751','med','1-00000a','000001 000002');
CREATE TABLE devices (
  device_id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  ward TEXT NOT NULL,
  bed TEXT NOT NULL,
  transport TEXT NOT NULL,
  standing TEXT NOT NULL,
  expected_firmware TEXT NOT NULL,
  added_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "devices" VALUES('one','monitor','icu','7','mqtt','enrolled','1.0',11);
CREATE TABLE gateways (
  gateway TEXT PRIMARY KEY,
  first_us INTEGER NOT NULL,
  last_us INTEGER NOT NULL,
  software_version TEXT NOT NULL,
  audit_number INTEGER NOT NULL DEFAULT 0,
  audit_chain BLOB NOT NULL DEFAULT x'',
  audit_signature BLOB NOT NULL DEFAULT x''
, audit_head BLOB NOT NULL DEFAULT x'') STRICT, WITHOUT ROWID;
INSERT INTO "gateways" VALUES('edge',1,2,'0.1',3,X'63',X'73',X'');
CREATE TABLE health (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  health INTEGER NOT NULL,
  since_us INTEGER NOT NULL,
  gateway TEXT NOT NULL,
  facts BLOB NOT NULL                 -- wardgate.v1.DeviceFacts
) STRICT, WITHOUT ROWID;
INSERT INTO "health" VALUES('one',2,5,'edge',X'6661637473');
CREATE TABLE idevids (
  manufacturer TEXT NOT NULL REFERENCES manufacturers (name) ON DELETE CASCADE,
  serial_number TEXT NOT NULL,
  device_id TEXT NOT NULL UNIQUE REFERENCES devices (device_id),
  bound_us INTEGER NOT NULL,
  bound_by TEXT NOT NULL,
  PRIMARY KEY (manufacturer, serial_number)
) STRICT, WITHOUT ROWID;
CREATE TABLE manufacturers (
  name TEXT PRIMARY KEY,
  root BLOB NOT NULL UNIQUE,          -- DER
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "numbers" VALUES('directory',1);
CREATE TABLE operators (
  name TEXT PRIMARY KEY,
  roles TEXT NOT NULL,                -- words with a blank between, sorted
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
  number INTEGER PRIMARY KEY,
  text TEXT NOT NULL,                 -- Cedar
  invariants TEXT NOT NULL,
  signed_us INTEGER NOT NULL,
  proposed_by TEXT NOT NULL,          -- empty: the fleet's own host
  approved_by TEXT NOT NULL           -- empty: nobody had to
) STRICT;
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
CREATE TABLE tokens (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  token_sha256 BLOB NOT NULL,
  issued_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  issued_by TEXT NOT NULL,
  used_us INTEGER NOT NULL DEFAULT 0,
  serial TEXT NOT NULL DEFAULT ''     -- the certificate that it was exchanged for
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_of ON credentials (role, id);
CREATE INDEX credentials_revoked ON credentials (revoked_us) WHERE revoked_us > 0;
CREATE INDEX certificates_of_key ON certificates (key_sha256);
CREATE INDEX approvals_open ON approvals (state) WHERE state IN ('pending', 'approved');
CREATE UNIQUE INDEX policy_rollout_open ON policy_rollouts ((1))
  WHERE state NOT IN ('done', 'aborted');
CREATE UNIQUE INDEX device_supi ON device_bindings (supi) WHERE supi <> '';
CREATE UNIQUE INDEX device_gpsi ON device_bindings (gpsi) WHERE gpsi <> '';
CREATE UNIQUE INDEX device_imei ON device_bindings (substr(imei, 1, 14)) WHERE imei <> '';
DELETE FROM "sqlite_sequence";
COMMIT;
PRAGMA user_version=9;
