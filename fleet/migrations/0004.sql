-- Which issuing CA a certificate is from, for when one follows another.
ALTER TABLE credentials ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
