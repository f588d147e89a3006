-- What a registration says of its certificates; revocation; several issuing keys; what agents were
-- told and have acknowledged; where certificates were seen.
ALTER TABLE registration ADD COLUMN dns TEXT NOT NULL DEFAULT '';
ALTER TABLE registration ADD COLUMN ips TEXT NOT NULL DEFAULT '';
ALTER TABLE registration ADD COLUMN life_ms INTEGER;
ALTER TABLE registration ADD COLUMN max_lineages INTEGER NOT NULL DEFAULT 1;
ALTER TABLE registration ADD COLUMN on_reenroll TEXT NOT NULL DEFAULT 'replace' CHECK (on_reenroll IN ('replace', 'add'));
ALTER TABLE registration ADD COLUMN display_name INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registration ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;

ALTER TABLE lineage ADD COLUMN agent TEXT;
CREATE INDEX lineage_name ON lineage (name);

ALTER TABLE token ADD COLUMN revoked_ms INTEGER;
CREATE INDEX token_open ON token (expires_ms) WHERE used_ms IS NULL;

ALTER TABLE certificate ADD COLUMN arrived_ms INTEGER;
ALTER TABLE certificate ADD COLUMN first_seen_ms INTEGER;
ALTER TABLE certificate ADD COLUMN last_seen_ms INTEGER;
ALTER TABLE certificate ADD COLUMN seen_by TEXT;
ALTER TABLE certificate ADD COLUMN seen_from TEXT;
ALTER TABLE certificate ADD COLUMN two_places_ms INTEGER;
-- What has not ended is found, counted and put in order without a look at the rows themselves, and
-- what has ended costs nothing.
CREATE INDEX certificate_end ON certificate (not_after_ms, serial, issuer, lineage, state);
DROP INDEX certificate_name;
CREATE INDEX certificate_name ON certificate (name, not_after_ms);
CREATE INDEX certificate_intent ON certificate (state) WHERE state = 'intent';
CREATE INDEX certificate_serial ON certificate (serial);

-- A row stays on the list of its issuer until a day after the certificate's end.
CREATE TABLE revocation (
  issuer       TEXT NOT NULL,
  serial       TEXT NOT NULL,
  spki         BLOB NOT NULL,
  name         TEXT NOT NULL,
  reason       TEXT NOT NULL,
  at_ms        INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL,
  event        INTEGER NOT NULL,
  PRIMARY KEY (issuer, serial)
) STRICT;
CREATE INDEX revocation_end ON revocation (issuer, not_after_ms);
CREATE INDEX revocation_live ON revocation (not_after_ms);
CREATE INDEX revocation_event ON revocation (event);

CREATE TABLE key_denied (
  spki   BLOB NOT NULL PRIMARY KEY,
  reason TEXT NOT NULL,
  at_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE issuing_key (
  id           TEXT NOT NULL PRIMARY KEY,
  state        TEXT NOT NULL CHECK (state IN ('spare', 'active', 'retiring', 'distrusted')),
  spki         BLOB NOT NULL,
  made_ms      INTEGER NOT NULL,
  not_after_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE crl (
  issuer  TEXT NOT NULL PRIMARY KEY,
  number  INTEGER NOT NULL,
  der     BLOB NOT NULL,
  at_ms   INTEGER NOT NULL,
  next_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE bundle (
  version INTEGER NOT NULL PRIMARY KEY,
  body    TEXT NOT NULL,
  made_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE event (
  seq   INTEGER NOT NULL PRIMARY KEY,
  kind  TEXT NOT NULL,
  body  TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE agent (
  instance       TEXT NOT NULL,
  name           TEXT NOT NULL,
  kind           TEXT NOT NULL,
  version        TEXT NOT NULL,
  host           TEXT NOT NULL,
  address        TEXT NOT NULL,
  heard_ms       INTEGER NOT NULL,
  bundle_version INTEGER NOT NULL,
  acked          INTEGER NOT NULL,
  skew_ms        INTEGER NOT NULL,
  PRIMARY KEY (instance, name)
) STRICT;

-- Certificates that a gateway saw under our issuing keys and that this store does not know.
CREATE TABLE unrecorded (
  issuer   TEXT NOT NULL,
  serial   TEXT NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms  INTEGER NOT NULL,
  seen_by  TEXT NOT NULL,
  PRIMARY KEY (issuer, serial)
) STRICT;

INSERT INTO counter (name, value) VALUES ('event', 0), ('bundle', 0);
INSERT INTO meta (key, value) VALUES ('epoch', '1');
