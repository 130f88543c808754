-- What was ordered for infusion pumps (IHE PCD-03), beside what they report.

CREATE TABLE infusion_orders (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,       -- the pump's
  message_id TEXT,
  received_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  ordered_us INTEGER,            -- NULL: the order does not say
  action TEXT NOT NULL,          -- 'ordered', 'changed', 'cancelled'
  order_id TEXT NOT NULL,
  drug TEXT NOT NULL,
  drug_code TEXT NOT NULL,
  volume_ml REAL,
  rate_ml_h REAL,
  dose REAL,                     -- a rate, in dose_unit
  dose_unit TEXT NOT NULL,
  route TEXT NOT NULL,
  bed TEXT NOT NULL,
  ward TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  attested_by TEXT NOT NULL,     -- the order system
  treatment TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX infusion_orders_once ON infusion_orders (device_id, message_id, order_id)
  WHERE message_id IS NOT NULL;
