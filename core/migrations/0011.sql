-- Where mobile networks have devices, and how they hear them.

CREATE TABLE link_states (
  id INTEGER PRIMARY KEY,
  gateway INTEGER NOT NULL,
  lane TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  device_id TEXT NOT NULL,
  at_us INTEGER NOT NULL,        -- from when on, on the gateway's clock
  stored_us INTEGER NOT NULL,
  network_us INTEGER,            -- on the network's; NULL: it did not say
  cause TEXT NOT NULL,           -- what is another: 'cell', 'zone', 'quality'; or why less is known:
                                 -- 'session_ended', 'unheard', 'restarted'
  cell TEXT,                     -- NULL: not known, or not told
  zones TEXT NOT NULL,           -- a JSON array; they overlap
  rsrp_dbm REAL,                 -- NULL: not known
  rsrq_db REAL,
  sinr_db REAL,
  driver TEXT NOT NULL,
  attestation TEXT NOT NULL,
  attested_by TEXT NOT NULL,
  treatment TEXT NOT NULL
) STRICT;

-- Finds what was known of a device at a time; the newest of several at once is the last.
CREATE INDEX link_state_at ON link_states (gateway, device_id, at_us);

-- One row a report: what its gateway's network had last said when it was measured. Everything is NULL
-- where it had said nothing; cell, zones and quality are where nothing was known any more.
CREATE VIEW report_links AS
SELECT report.id AS report, gateways.name AS gateway, devices.name AS device_id,
       coalesce(report.message_id, '') AS message_id, contexts.epoch AS epoch, report.seq AS seq,
       coalesce(report.measured_us, report.received_us) AS at_us,
       link.at_us AS link_us, link.cause AS link_cause, link.cell AS cell,
       nullif(link.zones, '[]') AS zones, link.rsrp_dbm AS rsrp_dbm, link.rsrq_db AS rsrq_db,
       link.sinr_db AS sinr_db
FROM report
LEFT JOIN devices ON devices.key = report.device
LEFT JOIN contexts ON contexts.key = report.context
LEFT JOIN gateways ON gateways.key = contexts.gateway
LEFT JOIN link_states AS link ON link.id = (
  SELECT told.id FROM link_states AS told
  WHERE told.gateway = contexts.gateway AND told.device_id = devices.name
    AND told.at_us <= coalesce(report.measured_us, report.received_us)
  ORDER BY told.at_us DESC, told.id DESC LIMIT 1);
