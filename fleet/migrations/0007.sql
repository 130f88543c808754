-- The newest signed tree head of a gateway's audit log, as it reported it (AuditCheckpoint).
ALTER TABLE gateways ADD COLUMN audit_head BLOB NOT NULL DEFAULT x'';
