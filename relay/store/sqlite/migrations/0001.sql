-- Schema 1. Tables are private and may change; people read the views (views.sql).
-- compatible: 1
-- Times are Unix seconds (REAL). Text keys sort by time: queue ids do.

CREATE TABLE meta (                     -- facts about this database; shown by the view relay_info
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE messages (                 -- one row per accepted message; never changed afterwards
    queue_id      TEXT PRIMARY KEY,
    received_at   REAL NOT NULL,
    origin        TEXT NOT NULL,        -- application, or notice: our own DSN, which counts in no box
    reverse_path  TEXT NOT NULL,        -- '' is the null reverse-path
    sender        TEXT NOT NULL,
    sender_domain TEXT NOT NULL,
    subject       TEXT NOT NULL,
    message_id    TEXT NOT NULL,
    size          INTEGER NOT NULL,
    ret           TEXT,
    envid         TEXT,
    eight_bit     INTEGER NOT NULL,
    smtputf8      INTEGER NOT NULL,
    tag           TEXT,
    metadata      TEXT,                 -- JSON object
    credential    TEXT,
    client_ip     TEXT
) WITHOUT ROWID;

CREATE TABLE contents (                 -- the content in pages, so that nobody need hold 25 MiB to read it
    queue_id TEXT NOT NULL,
    page     INTEGER NOT NULL,
    bytes    BLOB NOT NULL,
    PRIMARY KEY (queue_id, page)
);

CREATE TABLE deliveries (               -- one row per message and recipient: what has become of it
    queue_id     TEXT NOT NULL,
    number       INTEGER NOT NULL,
    recipient    TEXT NOT NULL,
    role         TEXT NOT NULL,
    destination  TEXT NOT NULL,
    notify       TEXT NOT NULL,
    orcpt        TEXT,
    status       TEXT NOT NULL,
    status_at    REAL NOT NULL,
    due_at       REAL,                  -- next attempt, or end of the lease of whoever has it in hand; NULL: no attempt will come
    attempts     INTEGER NOT NULL,      -- spent so far: claiming spends one
    in_hand      INTEGER NOT NULL,      -- 1: claimed, and due_at is the end of the lease
    warned       INTEGER NOT NULL DEFAULT 0,
    reason_class TEXT,
    smtp_code    INTEGER,
    dsn          TEXT,
    reason       TEXT,
    delivered_at REAL,
    mx_host      TEXT,
    mx_ip        TEXT,
    held_reason  TEXT,
    PRIMARY KEY (queue_id, number)
) WITHOUT ROWID;

CREATE INDEX deliveries_due ON deliveries (destination, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_recipient ON deliveries (recipient);
CREATE INDEX deliveries_held ON deliveries (destination) WHERE status = 'held';
CREATE INDEX deliveries_bounced ON deliveries (status_at) WHERE status IN ('hard_bounce', 'soft_bounce');

CREATE TABLE queues (                   -- one row per destination that has work: where claiming looks first
    destination   TEXT PRIMARY KEY,
    next_at       REAL NOT NULL,        -- nothing is due before this (a lower bound; claiming makes it exact)
    blocked_until REAL NOT NULL DEFAULT 0,  -- no host answered: left alone until then
    failures      INTEGER NOT NULL DEFAULT 0,
    block_reason  TEXT
) WITHOUT ROWID;

CREATE INDEX queues_next ON queues (next_at);

CREATE TABLE tries (                    -- one row per try at a delivery; never changed but for its transcript's retention
    attempt_id   INTEGER PRIMARY KEY,
    queue_id     TEXT NOT NULL,
    number       INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    started_at   REAL NOT NULL,
    finished_at  REAL NOT NULL,
    outcome      TEXT NOT NULL,
    reason_class TEXT,
    mx_host      TEXT,
    mx_ip        TEXT,
    mx_port      INTEGER,
    source_ip    TEXT,
    tls          TEXT,
    smtp_code    INTEGER,
    dsn          TEXT NOT NULL,
    reply        TEXT NOT NULL,
    in_reply_to  TEXT,
    ms_queue     INTEGER NOT NULL,
    ms_dns       INTEGER,
    ms_connect   INTEGER,
    ms_tls       INTEGER,
    ms_data      INTEGER,
    transcript   TEXT                   -- a line per line: milliseconds, C S or =, text
);

CREATE INDEX tries_delivery ON tries (queue_id, number);

CREATE TABLE happenings (               -- what happened, in order; never changed
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    event    TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    number   INTEGER,
    actor    TEXT NOT NULL,
    detail   TEXT                       -- JSON object
);

CREATE INDEX happenings_delivery ON happenings (queue_id, number);
CREATE INDEX happenings_by_operators ON happenings (event_id) WHERE actor <> 'relay';

CREATE TABLE refusals (                 -- what we said no to at SMTP time
    refusal_id INTEGER PRIMARY KEY,
    ref        TEXT NOT NULL,
    at         REAL NOT NULL,
    client_ip  TEXT NOT NULL,
    credential TEXT,
    stage      TEXT NOT NULL,
    smtp_code  INTEGER NOT NULL,
    dsn        TEXT NOT NULL,
    rule       TEXT NOT NULL,
    text       TEXT NOT NULL,
    mail_from  TEXT,
    rcpt_to    TEXT
);

CREATE INDEX refusals_at ON refusals (at);
CREATE INDEX refusals_ref ON refusals (ref);

CREATE TABLE credentials (              -- what applications log in with
    name             TEXT PRIMARY KEY,
    secrets          TEXT NOT NULL,     -- JSON: [{digest, expires_at}]
    created_at       REAL NOT NULL,
    domains          TEXT NOT NULL,     -- JSON list
    networks         TEXT NOT NULL,     -- JSON list
    rate_messages    INTEGER,
    rate_seconds     REAL,
    max_message_size INTEGER,
    tag              TEXT,
    revoked_at       REAL
) WITHOUT ROWID;

CREATE TABLE buckets (                  -- what is left of a credential's rate: a token bucket
    credential TEXT PRIMARY KEY,
    tokens     REAL NOT NULL,
    at         REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE status_counts (            -- changes of the boxes, as they happen; a chore adds them to the sums
    hour          INTEGER NOT NULL,     -- Unix seconds / 3600 of the time received
    tag           TEXT NOT NULL,
    credential    TEXT NOT NULL,
    sender_domain TEXT NOT NULL,
    status        TEXT NOT NULL,
    deliveries    INTEGER NOT NULL,
    bytes         INTEGER NOT NULL
);

CREATE TABLE status_sums (              -- a row per box: with the changes not yet added, what daily_stats shows
    hour          INTEGER NOT NULL,
    tag           TEXT NOT NULL,
    credential    TEXT NOT NULL,
    sender_domain TEXT NOT NULL,
    status        TEXT NOT NULL,
    deliveries    INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    PRIMARY KEY (hour, tag, credential, sender_domain, status)
) WITHOUT ROWID;

CREATE TABLE domain_counts (            -- the same by recipient domain and day, with the delays of what was sent
    day         INTEGER NOT NULL,       -- Unix seconds / 86400 of the time received
    destination TEXT NOT NULL,
    status      TEXT NOT NULL,
    deliveries  INTEGER NOT NULL,
    delay_sum   REAL NOT NULL,
    delay_max   REAL NOT NULL,
    last_at     REAL NOT NULL
);

CREATE TABLE domain_sums (
    day         INTEGER NOT NULL,
    destination TEXT NOT NULL,
    status      TEXT NOT NULL,
    deliveries  INTEGER NOT NULL,
    delay_sum   REAL NOT NULL,
    delay_max   REAL NOT NULL,
    last_at     REAL NOT NULL,
    PRIMARY KEY (day, destination, status)
) WITHOUT ROWID;

CREATE TABLE leases (                   -- who does a chore that must be done once
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until  REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE workers (                  -- who is alive: limits are shared among these
    writer     INTEGER PRIMARY KEY,     -- also the writer's number in queue ids
    host       TEXT NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT NOT NULL,
    started_at REAL NOT NULL,
    seen_at    REAL NOT NULL,       -- last sign of life; 0: it has stopped
    stopped_at REAL,                -- when a worker with this number stopped
    in_hand    INTEGER NOT NULL DEFAULT 0,  -- deliveries it has claimed
    sessions   INTEGER NOT NULL DEFAULT 0   -- clients inside
);

CREATE TABLE view_columns (             -- what each column of each view means, for people and their tools
    view_name   TEXT NOT NULL,
    position    INTEGER NOT NULL,
    column_name TEXT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (view_name, position)
) WITHOUT ROWID;
