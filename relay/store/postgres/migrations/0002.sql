-- Schema 2. Programs of schema 1 may work beside: what is added has defaults.
-- compatible: 1

ALTER TABLE workers ADD COLUMN joined bigint NOT NULL DEFAULT 0;  -- workers are counted as they come; 0: a program of schema 1
ALTER TABLE workers ADD COLUMN knows  bigint NOT NULL DEFAULT 0;  -- it has made room for all that came up to this one

ALTER TABLE messages ADD COLUMN track_opens  smallint NOT NULL DEFAULT 1;  -- what message and credential together want
ALTER TABLE messages ADD COLUMN track_clicks smallint NOT NULL DEFAULT 1;
ALTER TABLE messages ADD COLUMN unsubscribe  smallint NOT NULL DEFAULT 0;

ALTER TABLE credentials ADD COLUMN track_opens  smallint;  -- NULL: as the relay does
ALTER TABLE credentials ADD COLUMN track_clicks smallint;
ALTER TABLE credentials ADD COLUMN unsubscribe  smallint;

ALTER TABLE deliveries ADD COLUMN trackable smallint NOT NULL DEFAULT 0;  -- 1: the last copy made carries our pixel
ALTER TABLE deliveries ADD COLUMN links     integer NOT NULL DEFAULT 0;  -- so many of its links lead through us
ALTER TABLE deliveries ADD COLUMN copy_note text NOT NULL DEFAULT '';    -- why (a part of) it was left as it came
ALTER TABLE deliveries ADD COLUMN about_mailbox smallint NOT NULL DEFAULT 0;  -- 1: a soft bounce that counts against the mailbox

-- An address stops at once what waits for it, however the application spelled its domain: most spell it small.
CREATE INDEX deliveries_spelled ON deliveries (lower(recipient)) WHERE recipient <> lower(recipient);

CREATE TABLE visits (                   -- one row per open or click, as it came; the verdict on it may change
    queue_id    text COLLATE "C" NOT NULL,
    number      integer NOT NULL,
    visit_id    text COLLATE "C" NOT NULL,          -- chance: a visit that is told twice is kept once
    at          double precision NOT NULL,
    kind        text NOT NULL,          -- open, click
    link        integer NOT NULL,
    target      text NOT NULL,
    ip          text NOT NULL,
    agent       text NOT NULL,
    hints       text NOT NULL,
    made_by     text NOT NULL,          -- person, machine
    agent_class text NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (queue_id, number, visit_id)
);

CREATE INDEX visits_by_time ON visits (queue_id, number, at);

CREATE TABLE marks (                    -- what lies over a delivery's status, one row once there is anything
    queue_id        text COLLATE "C" NOT NULL,
    number          integer NOT NULL,
    opens           integer NOT NULL DEFAULT 0,
    auto_opens      integer NOT NULL DEFAULT 0,
    first_open_at   double precision,
    last_open_at    double precision,
    clicks          integer NOT NULL DEFAULT 0,
    auto_clicks     integer NOT NULL DEFAULT 0,
    first_click_at  double precision,               -- by a person
    last_click_at   double precision,
    unsubscribed_at double precision,
    complained_at   double precision,               -- marked as spam
    spam_source     text,               -- by whom
    PRIMARY KEY (queue_id, number)
);

CREATE TABLE suppression_list (         -- who must not be mailed; shown by the view suppressions
    address    text COLLATE "C" NOT NULL,           -- local@domain, or @domain
    scope      text COLLATE "C" NOT NULL,           -- a tag; '': all mail
    reason     text COLLATE "C" NOT NULL,           -- several stand side by side
    source     text NOT NULL,
    added_at   double precision NOT NULL,
    expires_at double precision,
    queue_id   text COLLATE "C" NOT NULL,           -- the delivery that caused it; '': none
    number     integer,
    reply      text NOT NULL,
    note       text NOT NULL,
    PRIMARY KEY (address, scope, reason)
);

CREATE INDEX suppression_list_by_time ON suppression_list (added_at, address, scope, reason);

CREATE TABLE domains (                  -- domains whose mail we sign with keys of our own making
    domain   text COLLATE "C" PRIMARY KEY,
    added_at double precision NOT NULL
);

CREATE TABLE signing_keys (             -- their keys; the private halves are never in this file
    domain     text COLLATE "C" NOT NULL,
    selector   text COLLATE "C" NOT NULL,
    algorithm  text NOT NULL,
    state      text NOT NULL,           -- active, waiting, retired
    public     text NOT NULL,           -- as in the DNS
    created_at double precision NOT NULL,
    state_at   double precision NOT NULL,
    seen_at    double precision,                    -- in the DNS
    PRIMARY KEY (domain, selector)
);

CREATE TABLE secrets (                  -- keys of tokens and signatures; SQLite keeps them in files of their own
    name  text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);
