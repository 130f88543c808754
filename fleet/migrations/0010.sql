-- Sessions that SMFs have with devices: who may not attach any more is ended.
CREATE TABLE radius_sessions (
  number INTEGER PRIMARY KEY,         -- grows with each word of a session
  client TEXT NOT NULL,
  session_id TEXT NOT NULL,
  device_id TEXT NOT NULL,
  serial TEXT NOT NULL,               -- of the certificate, hexadecimal
  supi TEXT NOT NULL,
  user_name TEXT NOT NULL,
  framed_ip TEXT NOT NULL,
  UNIQUE (client, session_id)
) STRICT;
-- How far the log was read that tells of them.
CREATE TABLE radius_log (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  inode INTEGER NOT NULL,
  offset INTEGER NOT NULL,            -- of the first octet that was not read
  head BLOB NOT NULL                  -- digest of the first octets
) STRICT;
