-- The Authority's tables, for SQLite. Times are Unix milliseconds; hashes and DER are bytes.
CREATE TABLE meta (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

CREATE TABLE counter (
  name  TEXT NOT NULL PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT;

CREATE TABLE registration (
  name      TEXT NOT NULL PRIMARY KEY,
  profile   TEXT NOT NULL,
  addresses TEXT NOT NULL,
  services  TEXT NOT NULL,
  enabled   INTEGER NOT NULL,
  made_ms   INTEGER NOT NULL
) STRICT;

CREATE TABLE lineage (
  id        TEXT NOT NULL PRIMARY KEY,
  name      TEXT NOT NULL REFERENCES registration (name),
  opened_ms INTEGER NOT NULL,
  closed_ms INTEGER
) STRICT;

CREATE TABLE token (
  secret_hash  BLOB NOT NULL PRIMARY KEY,
  name         TEXT NOT NULL REFERENCES registration (name),
  made_ms      INTEGER NOT NULL,
  expires_ms   INTEGER NOT NULL,
  used_ms      INTEGER,
  spki         BLOB,
  lineage      TEXT,
  from_address TEXT
) STRICT;

CREATE TABLE certificate (
  seq          INTEGER NOT NULL,
  issuer       TEXT NOT NULL,
  serial       TEXT NOT NULL,
  name         TEXT NOT NULL REFERENCES registration (name),
  lineage      TEXT NOT NULL REFERENCES lineage (id),
  predecessor  TEXT,
  spki         BLOB NOT NULL,
  tbs_hash     BLOB NOT NULL,
  der          BLOB,
  made_ms      INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('intent', 'issued', 'void')),
  PRIMARY KEY (issuer, serial)
) STRICT;
CREATE INDEX certificate_lineage ON certificate (lineage, seq);
CREATE INDEX certificate_spki ON certificate (spki);
CREATE INDEX certificate_name ON certificate (name);

CREATE TABLE ledger (
  seq   INTEGER NOT NULL PRIMARY KEY,
  entry TEXT NOT NULL,
  prev  BLOB NOT NULL,
  hash  BLOB NOT NULL
) STRICT;

INSERT INTO meta (key, value) VALUES ('schema', '1');
INSERT INTO counter (name, value) VALUES ('certificate', 0);
