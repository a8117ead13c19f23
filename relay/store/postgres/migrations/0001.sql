-- Schema 1. Tables are private and may change; people read the views (views.sql).
-- compatible: 1
-- Times are Unix seconds (double precision). Queue ids and destinations sort by byte (COLLATE "C"), as in every
-- other place where we sort them: queue ids sort by time then.

CREATE TABLE meta (                     -- facts about this database; shown by the view relay_info
    name  text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE messages (                 -- one row per accepted message; never changed afterwards
    queue_id      text COLLATE "C" PRIMARY KEY,
    received_at   double precision NOT NULL,
    origin        text NOT NULL,        -- application, or notice: our own DSN, which counts in no box
    reverse_path  text NOT NULL,        -- '' is the null reverse-path
    sender        text NOT NULL,
    sender_domain text NOT NULL,
    subject       text NOT NULL,
    message_id    text NOT NULL,
    size          integer NOT NULL,
    ret           text,
    envid         text,
    eight_bit     smallint NOT NULL,
    smtputf8      smallint NOT NULL,
    tag           text,
    metadata      text,                 -- JSON object
    credential    text,
    client_ip     text
);

CREATE TABLE contents (                 -- the content in pages, so that nobody need hold 25 MiB to read it
    queue_id text COLLATE "C" NOT NULL,
    page     integer NOT NULL,
    bytes    bytea NOT NULL,
    PRIMARY KEY (queue_id, page)
) WITH (
    -- What fits into a page of the table stays there: only larger contents go to TOAST, with its own rows and index.
    toast_tuple_target = 8160,
    -- Rows are added and deleted, never changed: take the dead ones away by number, not by a share of what is kept.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_cost_delay = 1
);

-- No time is spent on compressing what is deleted within the second; substrings are read without unpacking.
ALTER TABLE contents ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE TABLE deliveries (               -- one row per message and recipient: what has become of it
    queue_id     text COLLATE "C" NOT NULL,
    number       integer NOT NULL,
    recipient    text NOT NULL,
    role         text NOT NULL,
    destination  text COLLATE "C" NOT NULL,
    notify       text NOT NULL,
    orcpt        text,
    status       text NOT NULL,
    status_at    double precision NOT NULL,
    due_at       double precision,      -- next attempt, or end of the lease of whoever has it in hand; NULL: no attempt will come
    attempts     integer NOT NULL,      -- spent so far: claiming spends one
    in_hand      smallint NOT NULL,     -- 1: claimed, and due_at is the end of the lease
    warned       smallint NOT NULL DEFAULT 0,
    reason_class text,
    smtp_code    integer,
    dsn          text,
    reason       text,
    delivered_at double precision,
    mx_host      text,
    mx_ip        text,
    held_reason  text,
    PRIMARY KEY (queue_id, number)
) WITH (
    -- A row is written two or three times within seconds and then rests for months: room in its page for the next
    -- version, and vacuuming by a small share, or a table of 100 million rows would wait for 20 million dead ones.
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 1,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02
);

CREATE INDEX deliveries_due ON deliveries (destination, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_recipient ON deliveries (recipient);
CREATE INDEX deliveries_held ON deliveries (destination) WHERE status = 'held';
CREATE INDEX deliveries_bounced ON deliveries (status_at) WHERE status IN ('hard_bounce', 'soft_bounce');

CREATE TABLE queues (                   -- one row per destination that has work: where claiming looks first
    destination   text COLLATE "C" PRIMARY KEY,
    next_at       double precision NOT NULL,  -- nothing is due before this (a lower bound; claiming makes it exact)
    blocked_until double precision NOT NULL DEFAULT 0,  -- no host answered: left alone until then
    failures      integer NOT NULL DEFAULT 0,
    block_reason  text,
    looked_at     double precision      -- by the claim that holds the row just now (see next_work)
) WITH (
    -- Small, and changed by every claim: dead versions must go at once, or each look wades through them.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX queues_next ON queues (next_at);

CREATE TABLE tries (                    -- one row per try at a delivery; never changed but for its transcript's retention
    attempt_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue_id     text COLLATE "C" NOT NULL,
    number       integer NOT NULL,
    attempt      integer NOT NULL,
    started_at   double precision NOT NULL,
    finished_at  double precision NOT NULL,
    outcome      text NOT NULL,
    reason_class text,
    mx_host      text,
    mx_ip        text,
    mx_port      integer,
    source_ip    text,
    tls          text,
    smtp_code    integer,
    dsn          text NOT NULL,
    reply        text NOT NULL,
    in_reply_to  text,
    ms_queue     integer NOT NULL,
    ms_dns       integer,
    ms_connect   integer,
    ms_tls       integer,
    ms_data      integer,
    transcript   text                   -- a line per line: milliseconds, C S or =, text
);

CREATE INDEX tries_delivery ON tries (queue_id, number);

CREATE TABLE happenings (               -- what happened, in order; never changed
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       double precision NOT NULL,
    event    text NOT NULL,
    queue_id text COLLATE "C" NOT NULL,
    number   integer,
    actor    text NOT NULL,
    detail   text                       -- JSON object
);

CREATE INDEX happenings_delivery ON happenings (queue_id, number);
CREATE INDEX happenings_by_operators ON happenings (event_id) WHERE actor <> 'relay';

CREATE TABLE refusals (                 -- what we said no to at SMTP time
    refusal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref        text NOT NULL,
    at         double precision NOT NULL,
    client_ip  text NOT NULL,
    credential text,
    stage      text NOT NULL,
    smtp_code  integer NOT NULL,
    dsn        text NOT NULL,
    rule       text NOT NULL,
    text       text NOT NULL,
    mail_from  text,
    rcpt_to    text
);

CREATE INDEX refusals_at ON refusals (at);
CREATE INDEX refusals_ref ON refusals (ref);

CREATE TABLE credentials (              -- what applications log in with
    name             text COLLATE "C" PRIMARY KEY,
    secrets          text NOT NULL,     -- JSON: [{digest, expires_at}]
    created_at       double precision NOT NULL,
    domains          text NOT NULL,     -- JSON list
    networks         text NOT NULL,     -- JSON list
    rate_messages    integer,
    rate_seconds     double precision,
    max_message_size integer,
    tag              text,
    revoked_at       double precision
);

CREATE TABLE buckets (                  -- what is left of a credential's rate: a token bucket
    credential text COLLATE "C" PRIMARY KEY,
    tokens     double precision NOT NULL,
    at         double precision NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE status_counts (            -- changes of the boxes, as they happen; a chore adds them to the sums
    hour          integer NOT NULL,     -- Unix seconds / 3600 of the time received
    tag           text NOT NULL,
    credential    text NOT NULL,
    sender_domain text NOT NULL,
    status        text NOT NULL,
    deliveries    bigint NOT NULL,
    bytes         bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE status_sums (              -- a row per box: with the changes not yet added, what daily_stats shows
    hour          integer NOT NULL,
    tag           text NOT NULL,
    credential    text NOT NULL,
    sender_domain text NOT NULL,
    status        text NOT NULL,
    deliveries    bigint NOT NULL,
    bytes         bigint NOT NULL,
    PRIMARY KEY (hour, tag, credential, sender_domain, status)
);

CREATE TABLE domain_counts (            -- the same by recipient domain and day, with the delays of what was sent
    day         integer NOT NULL,       -- Unix seconds / 86400 of the time received
    destination text COLLATE "C" NOT NULL,
    status      text NOT NULL,
    deliveries  bigint NOT NULL,
    delay_sum   double precision NOT NULL,
    delay_max   double precision NOT NULL,
    last_at     double precision NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE domain_sums (
    day         integer NOT NULL,
    destination text COLLATE "C" NOT NULL,
    status      text NOT NULL,
    deliveries  bigint NOT NULL,
    delay_sum   double precision NOT NULL,
    delay_max   double precision NOT NULL,
    last_at     double precision NOT NULL,
    PRIMARY KEY (day, destination, status)
);

CREATE TABLE leases (                   -- who does a chore that must be done once
    name   text PRIMARY KEY,
    holder text NOT NULL,
    until  double precision NOT NULL
);

CREATE TABLE workers (                  -- who is alive: limits are shared among these
    writer     integer PRIMARY KEY,     -- also the writer's number in queue ids
    host       text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL,
    started_at double precision NOT NULL,
    seen_at    double precision NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE view_columns (             -- what each column of each view means, for people and their tools
    view_name   text NOT NULL,
    position    integer NOT NULL,
    column_name text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (view_name, position)
);

-- The earliest due time of each destination that a group gave work to; a blocked destination stays blocked.
-- A row that need not change is only shared, so that groups of all nodes that give work to the same destinations
-- commit side by side; and it is held, so that a claim cannot move it past work that is not committed yet (see
-- next_work). One destination after the other, each in one step: groups that lock in the same order do not deadlock.
CREATE FUNCTION add_work(work jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w record;
BEGIN
    FOR w IN SELECT *
               FROM jsonb_to_recordset(work) AS r(destination text, next_at double precision)
              ORDER BY destination COLLATE "C"
    LOOP
        PERFORM 1
           FROM queues
          WHERE destination = w.destination AND next_at <= greatest(blocked_until, w.next_at)
            FOR SHARE;
        CONTINUE WHEN FOUND;
        INSERT INTO queues (destination, next_at)
        VALUES (w.destination, w.next_at)
            ON CONFLICT (destination) DO UPDATE
           SET next_at = greatest(queues.blocked_until, excluded.next_at)
         WHERE queues.next_at > greatest(queues.blocked_until, excluded.next_at);
    END LOOP;
END
$$;
