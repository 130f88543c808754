-- What each operator may do. Before, everybody with an operator's certificate could do everything.
CREATE TABLE operators (
  name TEXT PRIMARY KEY,
  roles TEXT NOT NULL,                -- words with a blank between, sorted
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO operators
  SELECT id, 'dpo provisioner security_officer viewer', min(issued_us), ''
  FROM credentials WHERE role = 'operator' GROUP BY id HAVING min(revoked_us) = 0;
