-- When a report was measured, and what gateways' own clocks were worth.

-- NULL: none was made (measured_us), nothing is claimed (uncertainty_us), as measured_us (order_us).
ALTER TABLE report ADD COLUMN measured_us INTEGER;
ALTER TABLE report ADD COLUMN uncertainty_us INTEGER;
ALTER TABLE report ADD COLUMN time_marks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE report ADD COLUMN order_us INTEGER;
ALTER TABLE waves ADD COLUMN measured_us INTEGER;
ALTER TABLE waves ADD COLUMN uncertainty_us INTEGER;
ALTER TABLE waves ADD COLUMN time_marks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waves ADD COLUMN order_us INTEGER;

CREATE TABLE gateway_clocks (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,       -- the gateway
  at_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  cause TEXT NOT NULL,           -- 'started', 'changed', 'periodic', 'set'
  source TEXT NOT NULL,          -- 'chrony', 'kernel', 'none'
  synchronised INTEGER NOT NULL,
  error_us INTEGER,              -- the greatest that it may be off; NULL: nobody says
  offset_us INTEGER NOT NULL,
  stratum INTEGER NOT NULL,
  reference TEXT NOT NULL,
  root_delay_us INTEGER NOT NULL,
  root_dispersion_us INTEGER NOT NULL,
  frequency_ppb INTEGER NOT NULL,
  leap TEXT NOT NULL,            -- 'normal', 'insert', 'delete', 'unsynchronised'
  step_us INTEGER NOT NULL,      -- by how much it was set
  treatment TEXT NOT NULL
) STRICT;
CREATE INDEX gateway_clock_at ON gateway_clocks (gateway, at_us);

-- One row a report: its three times, what is particular about the third, and what sorts a device's
-- reports in the order in which they were measured.
CREATE VIEW times AS
SELECT devices.name AS device_id, coalesce(report.message_id, '') AS message_id,
       report.device_us AS device_us, report.received_us AS received_us,
       report.measured_us AS measured_us, report.uncertainty_us AS uncertainty_us,
       coalesce(report.order_us, report.measured_us, report.received_us) AS order_us,
       report.time_marks & 1 AS uncertain, report.time_marks >> 1 & 1 AS late,
       report.time_marks >> 2 & 1 AS device_set, report.time_marks >> 3 & 1 AS gateway_set,
       report.time_marks >> 4 & 1 AS undated, report.time_marks >> 5 & 1 AS unsynchronised,
       contexts.epoch AS epoch, report.seq AS seq
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context;

-- Whose a report is, is asked of the time at which it was measured.
DROP VIEW report_patients;
CREATE VIEW report_patients AS
SELECT report.id AS report, gateways.name AS gateway, devices.name AS device_id,
       coalesce(report.message_id, '') AS message_id, contexts.epoch AS epoch, report.seq AS seq,
       coalesce(report.measured_us, report.received_us) AS at_us,
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
  AND stood.from_us <= coalesce(report.measured_us, report.received_us)
  AND (stood.to_us IS NULL OR coalesce(report.measured_us, report.received_us) < stood.to_us)
LEFT JOIN associations AS lay ON lay.gateway = contexts.gateway
  AND lay.place = CASE WHEN stood.association_id IS NULL THEN contexts.place ELSE stood.place END
  AND lay.subject = 'bed' AND lay.state <> 3
  AND lay.from_us <= coalesce(report.measured_us, report.received_us)
  AND (lay.to_us IS NULL OR coalesce(report.measured_us, report.received_us) < lay.to_us)
LEFT JOIN association_states AS now_state ON now_state.number = lay.state;
