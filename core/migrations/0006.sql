-- What happened to alarms on their way to people: receipts, acknowledgements, escalations, silences.
CREATE TABLE notifications (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,       -- the alarm's; of a silence, the device or else the gateway
  at_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  action TEXT NOT NULL,          -- 'received', 'displayed', 'acknowledged', 'escalated', …
  alarm_id TEXT NOT NULL,        -- '' where it is about several
  condition TEXT NOT NULL,
  priority TEXT,                 -- NULL where it is about no single alarm, as phase
  phase TEXT,
  n INTEGER NOT NULL,            -- which notification of the alarm
  level INTEGER NOT NULL,
  bed TEXT NOT NULL,
  ward TEXT NOT NULL,
  outlet TEXT NOT NULL,
  "by" TEXT NOT NULL,            -- a person
  reason TEXT NOT NULL,
  since_us INTEGER,              -- of a receipt, when it was decided; of a silence, its beginning
  until_us INTEGER,
  count INTEGER NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  attested_by TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;
CREATE INDEX notifications_of_alarm ON notifications (alarm_id, at_us);
CREATE INDEX notifications_of_device ON notifications (device_id, at_us);
