-- Schema 2. Programs of schema 1 may work beside: what is added has defaults.
-- compatible: 1

ALTER TABLE workers ADD COLUMN joined INTEGER NOT NULL DEFAULT 0;  -- workers are counted as they come; 0: a program of schema 1
ALTER TABLE workers ADD COLUMN knows  INTEGER NOT NULL DEFAULT 0;  -- it has made room for all that came up to this one

ALTER TABLE messages ADD COLUMN track_opens  INTEGER NOT NULL DEFAULT 1;  -- what message and credential together want
ALTER TABLE messages ADD COLUMN track_clicks INTEGER NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN unsubscribe  INTEGER NOT NULL DEFAULT 0;

ALTER TABLE credentials ADD COLUMN track_opens  INTEGER;  -- NULL: as the relay does
ALTER TABLE credentials ADD COLUMN track_clicks INTEGER;
ALTER TABLE credentials ADD COLUMN unsubscribe  INTEGER;

ALTER TABLE deliveries ADD COLUMN trackable INTEGER NOT NULL DEFAULT 0;  -- 1: the last copy made carries our pixel
ALTER TABLE deliveries ADD COLUMN links     INTEGER NOT NULL DEFAULT 0;  -- so many of its links lead through us
ALTER TABLE deliveries ADD COLUMN copy_note TEXT NOT NULL DEFAULT '';    -- why (a part of) it was left as it came
ALTER TABLE deliveries ADD COLUMN about_mailbox INTEGER NOT NULL DEFAULT 0;  -- 1: a soft bounce that counts against the mailbox

-- An address stops at once what waits for it, however the application spelled its domain: most spell it small.
CREATE INDEX deliveries_spelled ON deliveries (lower(recipient)) WHERE recipient <> lower(recipient);

CREATE TABLE visits (                   -- one row per open or click, as it came; the verdict on it may change
    queue_id    TEXT NOT NULL,
    number      INTEGER NOT NULL,
    visit_id    TEXT NOT NULL,          -- chance: a visit that is told twice is kept once
    at          REAL NOT NULL,
    kind        TEXT NOT NULL,          -- open, click
    link        INTEGER NOT NULL,
    target      TEXT NOT NULL,
    ip          TEXT NOT NULL,
    agent       TEXT NOT NULL,
    hints       TEXT NOT NULL,
    made_by     TEXT NOT NULL,          -- person, machine
    agent_class TEXT NOT NULL,
    reason      TEXT NOT NULL,
    PRIMARY KEY (queue_id, number, visit_id)
) WITHOUT ROWID;

CREATE INDEX visits_by_time ON visits (queue_id, number, at);

CREATE TABLE marks (                    -- what lies over a delivery's status, one row once there is anything
    queue_id        TEXT NOT NULL,
    number          INTEGER NOT NULL,
    opens           INTEGER NOT NULL DEFAULT 0,
    auto_opens      INTEGER NOT NULL DEFAULT 0,
    first_open_at   REAL,
    last_open_at    REAL,
    clicks          INTEGER NOT NULL DEFAULT 0,
    auto_clicks     INTEGER NOT NULL DEFAULT 0,
    first_click_at  REAL,               -- by a person
    last_click_at   REAL,
    unsubscribed_at REAL,
    complained_at   REAL,               -- marked as spam
    spam_source     TEXT,               -- by whom
    PRIMARY KEY (queue_id, number)
) WITHOUT ROWID;

CREATE TABLE suppression_list (         -- who must not be mailed; shown by the view suppressions
    address    TEXT NOT NULL,           -- local@domain, or @domain
    scope      TEXT NOT NULL,           -- a tag; '': all mail
    reason     TEXT NOT NULL,           -- several stand side by side
    source     TEXT NOT NULL,
    added_at   REAL NOT NULL,
    expires_at REAL,
    queue_id   TEXT NOT NULL,           -- the delivery that caused it; '': none
    number     INTEGER,
    reply      TEXT NOT NULL,
    note       TEXT NOT NULL,
    PRIMARY KEY (address, scope, reason)
) WITHOUT ROWID;

CREATE INDEX suppression_list_by_time ON suppression_list (added_at);

CREATE TABLE domains (                  -- domains whose mail we sign with keys of our own making
    domain   TEXT PRIMARY KEY,
    added_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE signing_keys (             -- their keys; the private halves are never in this file
    domain     TEXT NOT NULL,
    selector   TEXT NOT NULL,
    algorithm  TEXT NOT NULL,
    state      TEXT NOT NULL,           -- active, waiting, retired
    public     TEXT NOT NULL,           -- as in the DNS
    created_at REAL NOT NULL,
    state_at   REAL NOT NULL,
    seen_at    REAL,                    -- in the DNS
    PRIMARY KEY (domain, selector)
) WITHOUT ROWID;
