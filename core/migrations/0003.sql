-- Generalised records and aggregates; the ward of a report.

DROP VIEW readings;
DROP VIEW reports;

INSERT INTO treatments VALUES (6, 'generalise');

CREATE TABLE contexts_3 (
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
  UNIQUE (device, epoch, gateway, lane, class, level, treatment, kind, bed, driver, attestation,
    attested_by, time_quality, ward)
) STRICT;

INSERT INTO contexts_3 SELECT contexts.*, '' FROM contexts;
DROP TABLE contexts;
ALTER TABLE contexts_3 RENAME TO contexts;

-- Times that were cut are no identity: two updates of an alarm may have the same hour.
DROP INDEX alarm_once;
CREATE UNIQUE INDEX alarm_once ON alarms (alarm_id, phase, at_us)
  WHERE alarm_id IS NOT NULL AND treatment <> 'generalise';

-- Statistics of one class and level over a window of the gateway's commit times.
CREATE TABLE aggregates (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,    -- the part of the lane that the gateway looked at
  last_seq INTEGER NOT NULL,
  class INTEGER NOT NULL,
  level INTEGER NOT NULL,
  from_us INTEGER NOT NULL,
  to_us INTEGER NOT NULL,
  devices_min INTEGER NOT NULL,  -- nothing of it is about fewer
  records INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  statistics TEXT NOT NULL,      -- [[kind, metric key, devices, values, mean, sd], …]
  alarm_counts TEXT NOT NULL     -- [[condition, priority, devices, alarms], …]
) STRICT;

-- However often a window is sent, it is here once.
CREATE UNIQUE INDEX aggregate_once
  ON aggregates (gateway, lane, epoch, first_seq, class, level);

CREATE VIEW statistics AS
SELECT aggregates.id AS aggregate, gateways.name AS gateway, aggregates.lane AS lane,
       aggregates.from_us AS from_us, aggregates.to_us AS to_us, aggregates.class AS class,
       aggregates.level AS level, json_extract(each.value, '$[0]') AS kind,
       metrics.code AS code, metrics.refid AS refid, metrics.unit AS unit,
       json_extract(each.value, '$[2]') AS devices, json_extract(each.value, '$[3]') AS "values",
       json_extract(each.value, '$[4]') AS mean,
       json_extract(each.value, '$[5]') AS standard_deviation
FROM aggregates
JOIN gateways ON gateways.key = aggregates.gateway
CROSS JOIN json_each(aggregates.statistics) AS each
LEFT JOIN metrics ON metrics.key = json_extract(each.value, '$[1]');

CREATE VIEW alarm_counts AS
SELECT aggregates.id AS aggregate, gateways.name AS gateway, aggregates.from_us AS from_us,
       aggregates.to_us AS to_us, aggregates.class AS class, aggregates.level AS level,
       json_extract(each.value, '$[0]') AS condition,
       json_extract(each.value, '$[1]') AS priority,
       json_extract(each.value, '$[2]') AS devices, json_extract(each.value, '$[3]') AS alarms
FROM aggregates
JOIN gateways ON gateways.key = aggregates.gateway
CROSS JOIN json_each(aggregates.alarm_counts) AS each;

CREATE VIEW readings AS
SELECT devices.name AS device_id,
       coalesce(report.message_id, '') AS message_id,
       metrics.code AS code,
       o.value AS value,
       metrics.unit AS unit,
       report.device_us AS device_time,
       coalesce(qualities.name, 'valid') AS quality,
       contexts.epoch AS epoch,
       CASE contexts.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END AS lane,
       report.seq AS seq
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context
LEFT JOIN shapes ON shapes.key = report.shape
CROSS JOIN json_each(report."values") AS o
LEFT JOIN metrics ON metrics.key = json_extract(shapes.metrics, '$[' || o.key || ']')
LEFT JOIN qualities ON qualities.number = json_extract(report.qualities, '$[' || o.key || ']');

CREATE VIEW reports AS
SELECT gateways.name AS gateway,
       CASE contexts.lane WHEN 1 THEN 'alarms' ELSE 'telemetry' END AS lane,
       contexts.epoch AS epoch, report.seq AS seq, devices.name AS device_id,
       coalesce(report.message_id, '') AS message_id, contexts.kind AS kind, contexts.bed AS bed,
       contexts.ward AS ward,
       report.received_us AS received_us, report.stored_us AS stored_us,
       report.device_us AS device_us, report.offset_us AS offset_us,
       contexts.driver AS driver, attestations.name AS attestation,
       contexts.attested_by AS attested_by, contexts.class AS class, contexts.level AS level,
       treatments.name AS treatment, report."values" AS "values"
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context
LEFT JOIN gateways ON gateways.key = contexts.gateway
LEFT JOIN attestations ON attestations.number = contexts.attestation
LEFT JOIN treatments ON treatments.number = contexts.treatment;
