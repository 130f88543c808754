-- Cabinets: what is in them, who opened them, and what was counted.

ALTER TABLE inventory ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE inventory ADD COLUMN item_class TEXT NOT NULL DEFAULT '';
ALTER TABLE inventory ADD COLUMN lot TEXT NOT NULL DEFAULT '';
ALTER TABLE inventory ADD COLUMN expiry TEXT NOT NULL DEFAULT '';
ALTER TABLE inventory ADD COLUMN badges TEXT NOT NULL DEFAULT '[]';  -- JSON: who was there
ALTER TABLE inventory ADD COLUMN reason TEXT NOT NULL DEFAULT '';

-- Finds what became of an item, the newest last.
CREATE INDEX inventory_items ON inventory (epc, id);

CREATE TABLE cabinet_events (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,       -- the cabinet
  message_id TEXT,
  received_us INTEGER NOT NULL,
  stored_us INTEGER NOT NULL,
  kind TEXT NOT NULL,            -- 'access', 'reconciliation'
  door TEXT NOT NULL,
  session TEXT NOT NULL,
  opened_us INTEGER,
  closed_us INTEGER,
  unseen_close INTEGER NOT NULL, -- 1: closed_us is when it was found shut
  verdict TEXT NOT NULL,         -- of an access: 'authorised', 'no_badge', 'one_person', 'unseen'
  badges TEXT NOT NULL,          -- JSON: who opened it, or who counted
  counts TEXT NOT NULL,          -- [[class, expected, found, doubted, counted or null], …]
  reason TEXT NOT NULL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  attested_by TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX cabinet_events_once ON cabinet_events (device_id, message_id)
  WHERE message_id IS NOT NULL;

-- What is in the cabinets by the last word on each item.
CREATE VIEW stock AS
SELECT last.device_id AS cabinet, last.epc AS epc, last.place AS place,
       last.item_class AS item_class, last.lot AS lot, last.expiry AS expiry,
       coalesce(last.device_us, last.received_us) AS since_us,
       last.action = 'doubted' AS doubted
FROM inventory AS last
WHERE last.epc <> '' AND last.action NOT IN ('departed', 'issued')
  AND NOT EXISTS (SELECT 1 FROM inventory AS later
                  WHERE later.epc = last.epc AND later.id > last.id);

-- One row a class and event.
CREATE VIEW cabinet_counts AS
SELECT e.id AS event, e.device_id AS cabinet, e.kind AS kind, e.received_us AS received_us,
       json_extract(c.value, '$[0]') AS item_class, json_extract(c.value, '$[1]') AS expected,
       json_extract(c.value, '$[2]') AS found, json_extract(c.value, '$[3]') AS doubted,
       json_extract(c.value, '$[4]') AS counted
FROM cabinet_events AS e
CROSS JOIN json_each(e.counts) AS c;
