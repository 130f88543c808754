-- A store of schema 1, as the software of that time left it.
BEGIN TRANSACTION;
CREATE TABLE credentials (
  serial TEXT PRIMARY KEY,            -- 40 hexadecimal digits
  role TEXT NOT NULL,
  id TEXT NOT NULL,
  issued_us INTEGER NOT NULL,
  not_after_us INTEGER NOT NULL,
  revoked_us INTEGER NOT NULL DEFAULT 0,
  revoked_reason TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
INSERT INTO "credentials" VALUES('7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF','device','one',1,99,0,'');
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
) STRICT, WITHOUT ROWID;
INSERT INTO "gateways" VALUES('edge',1,2,'0.1',3,X'63',X'73');
CREATE TABLE health (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  health INTEGER NOT NULL,
  since_us INTEGER NOT NULL,
  gateway TEXT NOT NULL,
  facts BLOB NOT NULL                 -- wardgate.v1.DeviceFacts
) STRICT, WITHOUT ROWID;
INSERT INTO "health" VALUES('one',2,5,'edge',X'6661637473');
CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "numbers" VALUES('directory',1);
CREATE INDEX credentials_of ON credentials (role, id);
CREATE INDEX credentials_revoked ON credentials (revoked_us) WHERE revoked_us > 0;
COMMIT;
PRAGMA user_version=1;
