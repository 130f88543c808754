-- What operators want over the gateways' own configuration files; the newest of each gateway.
CREATE TABLE configurations (
  gateway TEXT PRIMARY KEY,
  version INTEGER NOT NULL,           -- of the number "configurations": never used twice
  document BLOB NOT NULL,             -- TOML
  set_us INTEGER NOT NULL,
  set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
