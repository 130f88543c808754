-- Waveforms in a table of their own: their lane's reports hold nothing else.

CREATE TABLE lanes (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

INSERT INTO lanes VALUES (1, 'alarms'), (2, 'telemetry'), (3, 'waves');

CREATE TABLE marks (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL
) STRICT;

INSERT INTO marks VALUES (1, 'invalid'), (2, 'lead_off'), (3, 'missing'), (4, 'saturated'),
  (5, 'paced'), (6, 'calibrating'), (7, 'defibrillated');

INSERT INTO attestations VALUES (5, 'address');

CREATE TABLE waves (
  id INTEGER PRIMARY KEY,
  device INTEGER NOT NULL,
  message_id TEXT,               -- NULL: the device gave none
  context INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  received_us INTEGER NOT NULL,  -- at the gateway
  stored_us INTEGER NOT NULL,    -- here
  device_us INTEGER,             -- NULL: the device gave none
  offset_us INTEGER NOT NULL,
  blocks TEXT NOT NULL           -- [[metric key, start_us, rate_hz, scale, offset, quality,
                                 -- [samples], missing_before, [[first, count, mark], …]], …]; the
                                 -- last two are absent where nothing is missing or marked
) STRICT;

-- Once per message id; reports without one (NULL) all differ. Also finds a device's waves.
CREATE UNIQUE INDEX waves_once ON waves (device, message_id);

-- Gateways that know no lane of waves left them in their reports.
CREATE INDEX report_waveforms ON report (id) WHERE waveforms IS NOT NULL;

-- One row a block. SQLite knows no packed numbers: `samples` is a JSON array of raw ones.
CREATE VIEW waveforms AS
SELECT devices.name AS device_id,
       coalesce(w.message_id, '') AS message_id,
       metrics.code AS code, metrics.refid AS refid, metrics.unit AS unit,
       json_extract(b.value, '$[1]') AS start_us,
       json_extract(b.value, '$[2]') AS sample_rate_hz,
       json_extract(b.value, '$[3]') AS scale,
       json_extract(b.value, '$[4]') AS "offset",
       json_array_length(b.value, '$[6]') AS samples_count,
       coalesce(qualities.name, 'valid') AS quality,
       coalesce(json_extract(b.value, '$[7]'), 0) AS missing_before,
       coalesce(json_extract(b.value, '$[8]'), '[]') AS marks,
       json_extract(b.value, '$[6]') AS samples,
       w.received_us AS received_us, w.stored_us AS stored_us,
       contexts.epoch AS epoch, lanes.name AS lane, w.seq AS seq,
       contexts.class AS class, contexts.level AS level, treatments.name AS treatment
FROM (
  SELECT device, message_id, context, seq, received_us, stored_us, blocks FROM waves
  UNION ALL
  SELECT device, message_id, context, seq, received_us, stored_us, waveforms FROM report
    WHERE waveforms IS NOT NULL
) AS w
LEFT JOIN devices ON devices.key = w.device
LEFT JOIN contexts ON contexts.key = w.context
LEFT JOIN lanes ON lanes.number = contexts.lane
LEFT JOIN treatments ON treatments.number = contexts.treatment
CROSS JOIN json_each(w.blocks) AS b
LEFT JOIN metrics ON metrics.key = json_extract(b.value, '$[0]')
LEFT JOIN qualities ON qualities.number = json_extract(b.value, '$[5]');

-- One row a sample, in the metric's unit.
CREATE VIEW waveform_samples AS
SELECT w.device_id AS device_id, w.message_id AS message_id, w.code AS code, w.refid AS refid,
       w.unit AS unit,
       w.start_us + CAST(round(s.key * 1e6 / w.sample_rate_hz) AS INTEGER) AS time_us,
       s.value * w.scale + w."offset" AS value, w.quality AS quality,
       (SELECT group_concat(marks.name, '+') FROM json_each(w.marks) AS m
          JOIN marks ON marks.number = json_extract(m.value, '$[2]')
          WHERE s.key BETWEEN json_extract(m.value, '$[0]')
            AND json_extract(m.value, '$[0]') + json_extract(m.value, '$[1]') - 1) AS marks,
       w.epoch AS epoch, w.seq AS seq
FROM waveforms AS w
CROSS JOIN json_each(w.samples) AS s;
