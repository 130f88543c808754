-- Whose a record is: what was known when it was collected, and what is known now.

-- A bed of a ward, as one word; sealed where columns are.
CREATE TABLE places (
  key INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- Copied twice, not renamed: SQLite would look for the table in the views meanwhile.
CREATE TABLE contexts_5 AS SELECT * FROM contexts;
DROP TABLE contexts;
CREATE TABLE contexts (
  key INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  class INTEGER NOT NULL,
  level INTEGER NOT NULL,
  treatment INTEGER NOT NULL,
  device INTEGER NOT NULL,
  kind TEXT NOT NULL,
  bed TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation INTEGER NOT NULL,
  attested_by TEXT NOT NULL,
  time_quality INTEGER NOT NULL,
  ward TEXT NOT NULL,            -- '': not told, or not known
  patient_id TEXT NOT NULL,      -- at collection; '': not told, or not known
  association_id TEXT NOT NULL,
  association_state INTEGER NOT NULL,
  place INTEGER,                 -- of bed and ward; NULL: no bed
  UNIQUE (device, epoch, gateway, lane, class, level, treatment, kind, bed, driver, attestation,
    attested_by, time_quality, ward, patient_id, association_id, association_state)
) STRICT;
INSERT INTO contexts SELECT *, '', '', 0, NULL FROM contexts_5;
DROP TABLE contexts_5;

ALTER TABLE alarms ADD COLUMN ward TEXT NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN patient_id TEXT NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN association_id TEXT NOT NULL DEFAULT '';
ALTER TABLE alarms ADD COLUMN association_state INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alarms ADD COLUMN place INTEGER;

CREATE TABLE association_states (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

INSERT INTO association_states VALUES (0, ''), (1, 'current'), (2, 'quarantined'), (3, 'withdrawn');

-- Everything that gateways told of associations, in the order of arrival.
CREATE TABLE association_changes (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  association_id TEXT,           -- NULL: masked
  subject TEXT NOT NULL,         -- 'bed': a patient in a bed; 'device': a device at a bed
  device_id TEXT NOT NULL,
  place INTEGER,
  ward TEXT NOT NULL,
  bed TEXT NOT NULL,
  patient_id TEXT NOT NULL,
  from_us INTEGER NOT NULL,
  to_us INTEGER,                 -- the first moment that is not in it; NULL: it goes on
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  cause TEXT NOT NULL,
  revision INTEGER NOT NULL,
  at_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  attested_by TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

-- Where revisions were taken away they are no identity.
CREATE UNIQUE INDEX association_change_once
  ON association_changes (gateway, association_id, revision)
  WHERE association_id IS NOT NULL AND revision > 0;

-- What counts of them: the highest revision of each.
CREATE TABLE associations (
  gateway INTEGER NOT NULL,
  association_id TEXT NOT NULL,
  subject TEXT NOT NULL,
  device_id TEXT NOT NULL,
  place INTEGER,
  ward TEXT NOT NULL,
  bed TEXT NOT NULL,
  patient_id TEXT NOT NULL,
  from_us INTEGER NOT NULL,
  to_us INTEGER,
  state INTEGER NOT NULL,
  reason TEXT NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (gateway, association_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX association_of_place ON associations (gateway, place, from_us)
  WHERE subject = 'bed' AND state <> 3;
CREATE INDEX association_of_device ON associations (gateway, device_id, from_us)
  WHERE subject = 'device' AND state <> 3;

CREATE TRIGGER association_counts AFTER INSERT ON association_changes
WHEN NEW.association_id IS NOT NULL
BEGIN
  INSERT INTO associations VALUES (NEW.gateway, NEW.association_id, NEW.subject, NEW.device_id,
    NEW.place, NEW.ward, NEW.bed, NEW.patient_id, NEW.from_us, NEW.to_us, NEW.state, NEW.reason,
    NEW.revision)
  ON CONFLICT (gateway, association_id) DO UPDATE SET
    place = excluded.place, ward = excluded.ward, bed = excluded.bed,
    patient_id = excluded.patient_id, from_us = excluded.from_us, to_us = excluded.to_us,
    state = excluded.state, reason = excluded.reason, revision = excluded.revision
  WHERE excluded.revision >= revision;
END;

-- Whose each report was when it was collected (…_then), and whose it is now: who lay, at the time
-- that it tells of, in the bed at which its device stood then. NULL: nobody is known to have.
CREATE VIEW report_patients AS
SELECT report.id AS report, gateways.name AS gateway, devices.name AS device_id,
       coalesce(report.message_id, '') AS message_id, contexts.epoch AS epoch, report.seq AS seq,
       report.received_us AS at_us,
       contexts.patient_id AS patient_id_then, contexts.association_id AS association_id_then,
       then_state.name AS state_then,
       lay.patient_id AS patient_id, lay.association_id AS association_id,
       now_state.name AS state, lay.reason AS reason,
       CASE WHEN stood.association_id IS NULL THEN contexts.ward ELSE stood.ward END AS ward,
       CASE WHEN stood.association_id IS NULL THEN contexts.bed ELSE stood.bed END AS bed
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context
LEFT JOIN gateways ON gateways.key = contexts.gateway
LEFT JOIN association_states AS then_state ON then_state.number = contexts.association_state
LEFT JOIN associations AS stood ON stood.gateway = contexts.gateway
  AND stood.device_id = devices.name AND stood.subject = 'device' AND stood.state <> 3
  AND stood.from_us <= report.received_us
  AND (stood.to_us IS NULL OR report.received_us < stood.to_us)
LEFT JOIN associations AS lay ON lay.gateway = contexts.gateway
  AND lay.place = CASE WHEN stood.association_id IS NULL THEN contexts.place ELSE stood.place END
  AND lay.subject = 'bed' AND lay.state <> 3 AND lay.from_us <= report.received_us
  AND (lay.to_us IS NULL OR report.received_us < lay.to_us)
LEFT JOIN association_states AS now_state ON now_state.number = lay.state;

-- The same of alarms: who lay there when the condition began. An onset that can't be is the device's
-- clock's; then it counts when it was told.
CREATE VIEW alarm_patients AS
SELECT a.id AS alarm, gateways.name AS gateway, a.alarm_id AS alarm_id, a.device_id AS device_id,
       a.phase AS phase, a.condition AS condition, a.begun_us AS at_us,
       a.patient_id AS patient_id_then, a.association_id AS association_id_then,
       then_state.name AS state_then,
       lay.patient_id AS patient_id, lay.association_id AS association_id,
       now_state.name AS state, lay.reason AS reason
FROM (
  SELECT *, CASE WHEN onset_us BETWEEN at_us - 86400000000 AND at_us THEN onset_us ELSE at_us END
    AS begun_us FROM alarms
) AS a
LEFT JOIN gateways ON gateways.key = a.gateway
LEFT JOIN association_states AS then_state ON then_state.number = a.association_state
LEFT JOIN associations AS stood ON stood.gateway = a.gateway AND stood.device_id = a.device_id
  AND stood.subject = 'device' AND stood.state <> 3 AND stood.from_us <= a.begun_us
  AND (stood.to_us IS NULL OR a.begun_us < stood.to_us)
LEFT JOIN associations AS lay ON lay.gateway = a.gateway
  AND lay.place = CASE WHEN stood.association_id IS NULL THEN a.place ELSE stood.place END
  AND lay.subject = 'bed' AND lay.state <> 3 AND lay.from_us <= a.begun_us
  AND (lay.to_us IS NULL OR a.begun_us < lay.to_us)
LEFT JOIN association_states AS now_state ON now_state.number = lay.state;
