-- What a gateway sent, once. Enumerations in `report` are the numbers of
-- protos/wardgate/v1/ingest.proto; the smaller tables hold their words.

CREATE TABLE gateways (
  key INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The key of a metric is its code, unless the code is known with another unit already.
CREATE TABLE metrics (
  key INTEGER PRIMARY KEY,
  code INTEGER NOT NULL,
  refid TEXT NOT NULL,
  unit TEXT NOT NULL,
  UNIQUE (code, refid, unit)
) STRICT;

CREATE TABLE qualities (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

INSERT INTO qualities VALUES (1, 'valid'), (2, 'questionable'), (3, 'calibrating'),
  (4, 'invalid'), (5, 'overflow'), (6, 'underflow'), (7, 'unavailable'), (8, 'demo');

CREATE TABLE treatments (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

INSERT INTO treatments VALUES (1, 'pass'), (2, 'aggregate'), (3, 'pseudonymise'), (4, 'mask');

-- Everything up to (epoch, seq) is here or accounted for in `coverage`.
CREATE TABLE positions (
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  records INTEGER NOT NULL,      -- stored
  duplicates INTEGER NOT NULL,   -- not stored: a report with this id is here already
  redelivered INTEGER NOT NULL,  -- not stored: sent again after a lost acknowledgement
  PRIMARY KEY (gateway, lane)
) STRICT, WITHOUT ROWID;

-- Ranges of sequence numbers, contiguous per (gateway, lane) as long as the epochs follow on.
-- state: received (size - records = withheld), lost, rejected, missing.
CREATE TABLE coverage (
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  records INTEGER NOT NULL,
  PRIMARY KEY (gateway, lane, epoch, first_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE report (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  message_id TEXT,               -- NULL: the device gave none
  kind TEXT NOT NULL,
  received_us INTEGER NOT NULL,  -- at the gateway
  stored_us INTEGER NOT NULL,    -- here
  device_us INTEGER,             -- NULL: the device gave none
  time_quality INTEGER NOT NULL,
  offset_us INTEGER NOT NULL,
  bed TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation INTEGER NOT NULL,
  attested_by TEXT NOT NULL,
  class INTEGER NOT NULL,
  level INTEGER NOT NULL,
  treatment INTEGER NOT NULL,
  observations TEXT NOT NULL,    -- [[metric keys], [values], [qualities], [MDC codes]]; the last
                                 -- two are absent where all is valid, and no value has a code
  waveforms TEXT                 -- [[key, start_us, rate_hz, scale, offset, quality, [samples]], …]
) STRICT;

CREATE UNIQUE INDEX report_once ON report (device_id, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE alarms (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  alarm_id TEXT,                 -- NULL: masked
  device_id TEXT NOT NULL,
  bed TEXT NOT NULL,
  priority TEXT NOT NULL,
  phase TEXT NOT NULL,
  kind TEXT NOT NULL,
  source TEXT NOT NULL,
  code INTEGER NOT NULL,
  condition TEXT NOT NULL,
  text TEXT NOT NULL,
  onset_us INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  message_id TEXT,               -- of the report that caused it
  "values" TEXT NOT NULL,        -- [[metric key, value], …]
  "limit" REAL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX alarm_once ON alarms (alarm_id, phase, at_us) WHERE alarm_id IS NOT NULL;

CREATE TABLE statuses (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  message_id TEXT,
  kind TEXT NOT NULL,
  received_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  device_us INTEGER,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  firmware TEXT NOT NULL,
  battery_percent REAL,          -- NULL: unknown
  detail TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX status_once ON statuses (device_id, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE inventory (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  message_id TEXT,
  received_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  device_us INTEGER,
  action TEXT NOT NULL,
  epc TEXT NOT NULL,
  place TEXT NOT NULL,
  from_place TEXT NOT NULL,
  badge TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX inventory_once ON inventory (device_id, message_id, epc)
  WHERE message_id IS NOT NULL;

-- Something is missing: told by a gateway's Gap record (source 'gateway'), or seen here in the
-- sequence numbers (source 'core').
CREATE TABLE gaps (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  source TEXT NOT NULL,
  device_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  lane TEXT,
  epoch INTEGER,
  first_seq INTEGER,
  last_seq INTEGER,
  from_us INTEGER,
  to_us INTEGER,
  reports INTEGER NOT NULL,
  stored_us INTEGER NOT NULL
) STRICT;

CREATE VIEW readings AS
SELECT report.device_id AS device_id,
       coalesce(report.message_id, '') AS message_id,
       metrics.code AS code,
       json_extract(report.observations, '$[1][' || o.key || ']') AS value,
       metrics.unit AS unit,
       report.device_us AS device_time,
       coalesce(qualities.name, 'valid') AS quality,
       report.epoch AS epoch,
       CASE report.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END AS lane,
       report.seq AS seq
FROM report
JOIN json_each(report.observations, '$[0]') AS o
LEFT JOIN metrics ON metrics.key = o.value
LEFT JOIN qualities
  ON qualities.number = json_extract(report.observations, '$[2][' || o.key || ']');

CREATE VIEW reports AS
SELECT gateways.name AS gateway,
       CASE report.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END AS lane,
       report.epoch AS epoch, report.seq AS seq, report.device_id AS device_id,
       coalesce(report.message_id, '') AS message_id, report.kind AS kind, report.bed AS bed,
       report.received_us AS received_us, report.stored_us AS stored_us,
       report.device_us AS device_us, report.class AS class, report.level AS level,
       treatments.name AS treatment, report.observations AS observations
FROM report
JOIN gateways ON gateways.key = report.gateway
LEFT JOIN treatments ON treatments.number = report.treatment;
