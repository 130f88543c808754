-- What a mobile network must know a device by; a device that has no row may come by any.
CREATE TABLE device_bindings (
  device_id TEXT PRIMARY KEY REFERENCES devices (device_id),
  supi TEXT NOT NULL,
  gpsi TEXT NOT NULL,
  imei TEXT NOT NULL,
  dnn TEXT NOT NULL,
  snssai TEXT NOT NULL,
  tacs TEXT NOT NULL                  -- separated by blanks
) STRICT, WITHOUT ROWID;
-- A SIM, a number and a modem are one device's.
CREATE UNIQUE INDEX device_supi ON device_bindings (supi) WHERE supi <> '';
CREATE UNIQUE INDEX device_gpsi ON device_bindings (gpsi) WHERE gpsi <> '';
CREATE UNIQUE INDEX device_imei ON device_bindings (substr(imei, 1, 14)) WHERE imei <> '';
