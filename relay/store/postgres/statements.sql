-- Every statement of the store, by name. :rows is a JSON array of objects: one statement and one round trip for a
-- whole group, however many messages are in it. A name without SQL: this dialect has nothing to do there.

-- name: lock_deliveries
-- Before what they are is counted off: whoever else wants to change these waits, and then counts what we made of
-- them. The first delivery of a message stands for the message, so that of two that finish it the second one knows.
SELECT count(*)
  FROM (SELECT 1
          FROM deliveries
         WHERE (queue_id, number) IN (SELECT queue_id, number
                                        FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
                                       UNION
                                      SELECT queue_id, 0
                                        FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text))
         ORDER BY queue_id, number
           FOR NO KEY UPDATE) AS locked;

-- name: accept_messages
INSERT INTO messages (queue_id, received_at, origin, reverse_path, sender, sender_domain, subject, message_id,
                      size, ret, envid, eight_bit, smtputf8, tag, metadata, credential, client_ip,
                      track_opens, track_clicks, unsubscribe)
SELECT queue_id, received_at, origin, reverse_path, sender, sender_domain, subject, message_id,
       size, ret, envid, eight_bit, smtputf8, tag, metadata, credential, client_ip,
       track_opens, track_clicks, unsubscribe
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, received_at double precision, origin text, reverse_path text, sender text, sender_domain text,
         subject text, message_id text, size integer, ret text, envid text, eight_bit smallint, smtputf8 smallint,
         tag text, metadata text, credential text, client_ip text, track_opens smallint, track_clicks smallint,
         unsubscribe smallint);

-- name: accept_contents
INSERT INTO contents (queue_id, page, bytes)
SELECT queue_id, page, substr(:blob::bytea, start + 1, length)
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, page integer, start integer, length integer);

-- name: accept_deliveries
INSERT INTO deliveries (queue_id, number, recipient, role, destination, notify, orcpt, status, status_at, due_at,
                        attempts, in_hand)
SELECT queue_id, number, recipient, role, destination, notify, orcpt, status, status_at, due_at,
       attempts, attempts
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, recipient text, role text, destination text, notify text, orcpt text,
         status text, status_at double precision, due_at double precision, attempts smallint);

-- name: add_work
-- The earliest due time of each destination that the group gave work to; a blocked destination stays blocked.
-- How it goes beside other nodes' groups and claims: the function of this name in migrations/0001.sql.
SELECT add_work(:rows::jsonb);

-- name: settle_deliveries
-- Names the attempt: a late answer to an old claim matches nothing. What a person held or cancelled meanwhile
-- stays so, unless the attempt decided it; and what was suppressed, unless it was sent.
UPDATE deliveries
   SET status = CASE WHEN (deliveries.status = 'held' AND r.status = 'deferred')
                       OR (deliveries.status = 'cancelled' AND r.status IN ('deferred', 'rejected'))
                     THEN deliveries.status ELSE r.status END,
       due_at = CASE WHEN deliveries.status IN ('held', 'cancelled') THEN NULL ELSE r.due_at END,
       in_hand      = 0,
       status_at    = r.status_at,
       delivered_at = r.delivered_at,
       reason_class = r.reason_class,
       smtp_code    = r.smtp_code,
       dsn          = r.dsn,
       reason       = r.reason,
       mx_host      = r.mx_host,
       mx_ip        = r.mx_ip,
       warned       = greatest(deliveries.warned, r.warned),
       trackable    = coalesce(r.trackable, deliveries.trackable),
       links        = coalesce(r.links, deliveries.links),
       copy_note    = coalesce(r.copy_note, deliveries.copy_note)
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, attempt integer, status text, due_at double precision,
         status_at double precision, delivered_at double precision, reason_class text, smtp_code integer, dsn text,
         reason text, mx_host text, mx_ip text, warned smallint, trackable smallint, links integer, copy_note text)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.attempts = r.attempt
   AND deliveries.in_hand  = 1
   AND (deliveries.status IN ('creating', 'spooled', 'deferred', 'held', 'cancelled')
        OR (deliveries.status = 'rejected' AND r.status = 'sent'))
RETURNING deliveries.queue_id, deliveries.number;

-- name: add_attempts
INSERT INTO tries (queue_id, number, attempt, started_at, finished_at, outcome, reason_class, mx_host, mx_ip, mx_port,
                   source_ip, tls, smtp_code, dsn, reply, in_reply_to, ms_queue, ms_dns, ms_connect, ms_tls, ms_data,
                   transcript)
SELECT queue_id, number, attempt, started_at, finished_at, outcome, reason_class, mx_host, mx_ip, mx_port,
       source_ip, tls, smtp_code, dsn, reply, in_reply_to, ms_queue, ms_dns, ms_connect, ms_tls, ms_data,
       transcript
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, attempt integer, started_at double precision, finished_at double precision,
         outcome text, reason_class text, mx_host text, mx_ip text, mx_port integer, source_ip text, tls text,
         smtp_code integer, dsn text, reply text, in_reply_to text, ms_queue integer, ms_dns integer,
         ms_connect integer, ms_tls integer, ms_data integer, transcript text);

-- name: add_events
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT at, event, queue_id, number, actor, detail
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(at double precision, event text, queue_id text, number integer, actor text, detail text);

-- name: spool_deliveries
UPDATE deliveries
   SET status = 'spooled', status_at = r.at
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, attempt integer, at double precision)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.attempts = r.attempt
   AND deliveries.status   = 'creating';

-- name: count_statuses
-- :sign is -1 before a change and +1 after it, so that the boxes follow every status, whoever changes it. What is
-- counted is the status with the marks that lie over it ('sent trackable opened'): the view boxes takes them apart.
-- "Not a notice" rather than "an application's": of the latter the planner believes that there are hardly any, as long
-- as nobody has looked, and begins with all messages instead of the ones that are named.
INSERT INTO status_counts (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT floor(m.received_at / 3600), coalesce(m.tag, ''), coalesce(m.credential, ''), m.sender_domain,
       d.status || CASE WHEN d.trackable = 1 THEN ' trackable' ELSE '' END
                || CASE WHEN k.opens + k.clicks > 0 THEN ' opened' WHEN k.auto_opens > 0 THEN ' opened auto' ELSE '' END
                || CASE WHEN k.clicks > 0 THEN ' clicked' ELSE '' END
                || CASE WHEN k.unsubscribed_at IS NOT NULL THEN ' unsubscribed' ELSE '' END
                || CASE WHEN k.complained_at IS NOT NULL THEN ' spam' ELSE '' END,
       :sign::integer * count(*), :sign::integer * sum(m.size)
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
  JOIN messages AS m ON m.queue_id = d.queue_id
  LEFT JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE m.origin <> 'notice'
 GROUP BY 1, 2, 3, 4, 5;

-- name: count_domains
INSERT INTO domain_counts (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT floor(m.received_at / 86400), d.destination, d.status, :sign::integer * count(*),
       :sign::integer * coalesce(sum(d.delivered_at - m.received_at), 0), coalesce(max(d.delivered_at - m.received_at), 0),
       max(d.status_at)
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE m.origin <> 'notice'
 GROUP BY 1, 2, 3;

-- name: count_clicks
-- How many clicks by persons, beside how many persons clicked.
INSERT INTO status_counts (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT floor(m.received_at / 3600), coalesce(m.tag, ''), coalesce(m.credential, ''), m.sender_domain,
       'link_clicks', :sign::integer * sum(k.clicks), 0
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN marks AS k ON k.queue_id = r.queue_id AND k.number = r.number
  JOIN messages AS m ON m.queue_id = k.queue_id
 WHERE m.origin <> 'notice' AND k.clicks > 0
 GROUP BY 1, 2, 3, 4;

-- name: count_complaints
INSERT INTO domain_counts (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT floor(m.received_at / 86400), d.destination, 'spam', :sign::integer * count(*), 0, 0, max(k.complained_at)
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
  JOIN messages AS m ON m.queue_id = d.queue_id
  JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE m.origin <> 'notice' AND k.complained_at IS NOT NULL
 GROUP BY 1, 2;

-- name: mark_visits
-- Visits that are kept already are not counted again, nor those of deliveries that are not kept any more. Whoever
-- writes marks has locked their deliveries before.
INSERT INTO marks AS k (queue_id, number, opens, auto_opens, first_open_at, last_open_at,
                        clicks, auto_clicks, first_click_at, last_click_at)
SELECT d.queue_id, d.number,
       count(*) FILTER (WHERE r.kind = 'open' AND r.made_by = 'person'),
       count(*) FILTER (WHERE r.kind = 'open' AND r.made_by = 'machine'),
       min(r.at) FILTER (WHERE r.kind = 'open'),
       max(r.at) FILTER (WHERE r.kind = 'open'),
       count(*) FILTER (WHERE r.kind = 'click' AND r.made_by = 'person'),
       count(*) FILTER (WHERE r.kind = 'click' AND r.made_by = 'machine'),
       min(r.at) FILTER (WHERE r.kind = 'click' AND r.made_by = 'person'),
       max(r.at) FILTER (WHERE r.kind = 'click' AND r.made_by = 'person')
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, visit_id text, at double precision, kind text, made_by text)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
 WHERE NOT EXISTS (SELECT 1 FROM visits AS v
                    WHERE v.queue_id = d.queue_id AND v.number = d.number AND v.visit_id = r.visit_id)
 GROUP BY d.queue_id, d.number
    ON CONFLICT (queue_id, number) DO UPDATE
   SET opens = k.opens + excluded.opens, auto_opens = k.auto_opens + excluded.auto_opens,
       clicks = k.clicks + excluded.clicks, auto_clicks = k.auto_clicks + excluded.auto_clicks,
       first_open_at  = least(k.first_open_at, excluded.first_open_at),
       last_open_at   = greatest(k.last_open_at, excluded.last_open_at),
       first_click_at = least(k.first_click_at, excluded.first_click_at),
       last_click_at  = greatest(k.last_click_at, excluded.last_click_at);

-- name: tell_visits
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT r.at, r.event, d.queue_id, d.number, 'relay', r.detail
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, visit_id text, at double precision, event text, detail text)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
 WHERE NOT EXISTS (SELECT 1 FROM visits AS v
                    WHERE v.queue_id = d.queue_id AND v.number = d.number AND v.visit_id = r.visit_id)
 ORDER BY r.at;

-- name: add_visits
INSERT INTO visits (queue_id, number, visit_id, at, kind, link, target, ip, agent, hints, made_by, agent_class, reason)
SELECT d.queue_id, d.number, r.visit_id, r.at, r.kind, r.link, r.target,
       r.ip, r.agent, r.hints, r.made_by, r.agent_class, r.reason
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, visit_id text, at double precision, kind text, link integer, target text,
         ip text, agent text, hints text, made_by text, agent_class text, reason text)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
    ON CONFLICT (queue_id, number, visit_id) DO NOTHING;

-- name: shift_marks
-- Of visits on which the verdict is another one now: from persons to machines, or back.
UPDATE marks
   SET opens = marks.opens + s.opens, auto_opens = auto_opens - s.opens,
       clicks = marks.clicks + s.clicks, auto_clicks = auto_clicks - s.clicks,
       first_click_at = CASE WHEN marks.clicks + s.clicks > 0 THEN least(first_click_at, s.first_at) END,
       last_click_at  = CASE WHEN marks.clicks + s.clicks > 0 THEN greatest(last_click_at, s.last_at) END
  FROM (SELECT v.queue_id, v.number,
               sum(CASE WHEN v.kind <> 'open' THEN 0 WHEN r.made_by = 'person' THEN 1 ELSE -1 END) AS opens,
               sum(CASE WHEN v.kind <> 'click' THEN 0 WHEN r.made_by = 'person' THEN 1 ELSE -1 END) AS clicks,
               min(v.at) FILTER (WHERE v.kind = 'click' AND r.made_by = 'person') AS first_at,
               max(v.at) FILTER (WHERE v.kind = 'click' AND r.made_by = 'person') AS last_at
          FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, visit_id text, made_by text)
          JOIN visits AS v ON v.queue_id = r.queue_id AND v.number = r.number AND v.visit_id = r.visit_id
         WHERE v.made_by <> r.made_by
         GROUP BY v.queue_id, v.number) AS s
 WHERE marks.queue_id = s.queue_id
   AND marks.number   = s.number;

-- name: judge_visits
UPDATE visits
   SET made_by = r.made_by, agent_class = r.agent_class, reason = r.reason
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, visit_id text, made_by text, agent_class text, reason text)
 WHERE visits.queue_id = r.queue_id
   AND visits.number   = r.number
   AND visits.visit_id = r.visit_id;

-- name: visited_deliveries
SELECT d.queue_id, d.number, d.recipient, d.destination, d.delivered_at, d.links
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number;

-- name: recent_visits
-- Of each delivery the newest :limit, by the index: however many there are.
SELECT v.*
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
 CROSS JOIN LATERAL (SELECT *
                       FROM visits
                      WHERE queue_id = r.queue_id AND number = r.number AND at > :since
                      ORDER BY at DESC
                      LIMIT :limit) AS v;

-- name: subscription
SELECT d.recipient, m.sender, m.sender_domain, coalesce(m.tag, '') AS tag, m.received_at
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.queue_id = :queue_id AND d.number = :number;

-- name: suppressed
-- What stops mail to these addresses and domains now, for its tag or for all mail.
SELECT r.n, s.*
  FROM jsonb_to_recordset(:rows::jsonb) AS r(n integer, address text, tag text)
  JOIN suppression_list AS s ON s.address = r.address AND s.scope IN ('', r.tag)
 WHERE s.expires_at IS NULL OR s.expires_at > :now;

-- name: suppressions_named
-- Whatever the reason.
SELECT s.*
  FROM jsonb_to_recordset(:rows::jsonb) AS r(address text, scope text)
  JOIN suppression_list AS s ON s.address = r.address AND s.scope = r.scope;

-- name: save_suppressions
-- In order, so that no two of these wait for each other's rows crosswise.
INSERT INTO suppression_list (address, scope, reason, source, added_at, expires_at, queue_id, number, reply, note)
SELECT address, scope, reason, source, added_at, expires_at, queue_id, number, reply, note
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(address text, scope text, reason text, source text, added_at double precision, expires_at double precision,
         queue_id text, number integer, reply text, note text)
 ORDER BY address COLLATE "C", scope COLLATE "C", reason COLLATE "C"
    ON CONFLICT (address, scope, reason) DO UPDATE
   SET source = excluded.source, added_at = excluded.added_at,
       expires_at = excluded.expires_at, queue_id = excluded.queue_id, number = excluded.number,
       reply = excluded.reply, note = excluded.note;

-- name: remove_suppressions
DELETE FROM suppression_list
 WHERE (address, scope, reason) IN (SELECT address, scope, reason
                                      FROM jsonb_to_recordset(:rows::jsonb)
                                        AS r(address text, scope text, reason text))
RETURNING address, scope, reason;

-- name: delivery_wishes
SELECT k.unsubscribed_at, k.complained_at
  FROM deliveries AS d
  LEFT JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE d.queue_id = :queue_id AND d.number = :number;

-- name: mark_wishes
INSERT INTO marks AS k (queue_id, number, unsubscribed_at, complained_at, spam_source)
SELECT d.queue_id, d.number, r.unsubscribed_at, r.complained_at, r.spam_source
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(queue_id text, number integer, unsubscribed_at double precision, complained_at double precision,
         spam_source text)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
    ON CONFLICT (queue_id, number) DO UPDATE
   SET unsubscribed_at = coalesce(k.unsubscribed_at, excluded.unsubscribed_at),
       complained_at   = coalesce(k.complained_at, excluded.complained_at),
       spam_source     = coalesce(k.spam_source, excluded.spam_source);

-- name: waiting_for_addresses
-- Spelled as the list has it, or with capital letters somewhere, or with a label where labels do not count
-- (labelled to behind; NULL: they do). The local part must be the same, and so must where mail goes.
WITH r AS MATERIALIZED (
    SELECT *
      FROM jsonb_to_recordset(:rows::jsonb)
        AS r(n integer, address text, local text, small text, destination text, scope text, labelled text, behind text)
), alike AS (
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient = r.address
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON lower(d.recipient) = r.small AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient >= r.labelled AND d.recipient < r.behind
)
SELECT a.n, d.queue_id, d.number
  FROM alike AS a
  JOIN deliveries AS d ON d.queue_id = a.queue_id AND d.number = a.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status IN ('creating', 'spooled', 'deferred', 'held')
   AND (left(d.recipient, length(a.local)) = a.local
        OR (d.recipient >= a.labelled AND d.recipient < a.behind))
   AND d.destination = a.destination
   AND m.origin = 'application'
   AND a.scope IN ('', m.tag)
 LIMIT :limit;

-- name: waiting_for_domain
SELECT d.queue_id, d.number
  FROM (SELECT queue_id, number FROM deliveries WHERE destination = :destination AND due_at IS NOT NULL
         UNION ALL
        SELECT queue_id, number FROM deliveries WHERE destination = :destination AND status = 'held') AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE m.origin = 'application'
   AND (:scope = '' OR m.tag = :scope)
 LIMIT :limit;

-- name: reject_deliveries
-- What is in somebody's hand too: see settle_deliveries.
UPDATE deliveries
   SET status = 'rejected', status_at = :now, due_at = NULL, reason_class = r.class, smtp_code = NULL, dsn = r.dsn,
       reason = r.reason
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, class text, dsn text, reason text)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status IN ('creating', 'spooled', 'deferred', 'held')
RETURNING deliveries.queue_id, deliveries.number;

-- name: tell_rejected
-- Only of those that were: one that was sent meanwhile was not.
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT :now, 'rejected', d.queue_id, d.number, :actor, r.detail
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, detail text)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
 WHERE d.status = 'rejected' AND d.status_at = :now;

-- name: dropped_for_address
-- What this entry has forbidden since, whichever was told as the reason, and whether it can still be sent.
WITH r AS MATERIALIZED (
    SELECT *
      FROM jsonb_to_recordset(:rows::jsonb)
        AS r(n integer, address text, local text, small text, destination text, scope text, labelled text, behind text)
), alike AS (
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient = r.address
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON lower(d.recipient) = r.small AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient >= r.labelled AND d.recipient < r.behind
)
SELECT d.queue_id, d.number, d.recipient, d.destination, coalesce(m.tag, '') AS tag, d.status_at, m.subject,
       EXISTS (SELECT 1 FROM contents AS c WHERE c.queue_id = d.queue_id) AS kept
  FROM alike AS a
  JOIN deliveries AS d ON d.queue_id = a.queue_id AND d.number = a.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status = 'rejected'
   AND (left(d.recipient, length(a.local)) = a.local
        OR (d.recipient >= a.labelled AND d.recipient < a.behind))
   AND d.destination = a.destination
   AND d.status_at >= :since AND d.status_at < :until
   AND a.scope IN ('', m.tag)
   AND (d.queue_id, d.number) > (:after_id, :after_number)
 ORDER BY d.queue_id, d.number
 LIMIT :limit;

-- name: dropped_for_domain
SELECT d.queue_id, d.number, d.recipient, d.destination, coalesce(m.tag, '') AS tag, d.status_at, m.subject,
       EXISTS (SELECT 1 FROM contents AS c WHERE c.queue_id = d.queue_id) AS kept
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status = 'rejected'
   AND d.destination = :destination
   AND d.status_at >= :since AND d.status_at < :until
   AND :scope::text IN ('', m.tag)
   AND (d.queue_id, d.number) > (:after_id, :after_number)
 ORDER BY d.queue_id, d.number
 LIMIT :limit;

-- name: release_dropped
-- What is still in hand from before it was rejected comes due when its lease is over.
UPDATE deliveries
   SET status = 'deferred', status_at = :now::double precision, reason_class = NULL, dsn = NULL, reason = :reason,
       due_at = :now::double precision + CASE WHEN in_hand = 1 THEN :lease::double precision ELSE 0 END
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status   = 'rejected'
   AND EXISTS (SELECT 1 FROM contents AS c WHERE c.queue_id = deliveries.queue_id)
RETURNING deliveries.queue_id, deliveries.number;

-- name: mark_soft_bounces
-- They say something about the mailbox: so many in a row put it on the list.
UPDATE deliveries
   SET about_mailbox = 1
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status   = 'soft_bounce';

-- name: soft_bounces
-- The days (UTC) on which mail to this address came to such an end since any of it was delivered;
-- one delivery is left out: what was sent and comes back now is no success.
WITH r AS MATERIALIZED (
    SELECT *
      FROM jsonb_to_recordset(:rows::jsonb)
        AS r(n integer, address text, local text, small text, destination text, scope text, labelled text, behind text)
), alike AS (
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient = r.address
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON lower(d.recipient) = r.small AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient >= r.labelled AND d.recipient < r.behind
), mail AS (
    SELECT d.status, d.status_at, d.about_mailbox
      FROM alike AS a
      JOIN deliveries AS d ON d.queue_id = a.queue_id AND d.number = a.number
     WHERE d.status IN ('sent', 'soft_bounce')
       AND NOT (d.queue_id = :queue_id AND d.number = :number)
   AND (left(d.recipient, length(a.local)) = a.local
        OR (d.recipient >= a.labelled AND d.recipient < a.behind))
   AND d.destination = a.destination
)
SELECT DISTINCT floor(status_at / 86400)::integer AS day
  FROM mail
 WHERE about_mailbox = 1
   AND status = 'soft_bounce'
   AND status_at > (SELECT coalesce(max(status_at), 0) FROM mail WHERE status = 'sent');

-- name: forgive_soft_bounces
-- Whoever takes an address off the list wants it to be counted anew.
WITH r AS MATERIALIZED (
    SELECT *
      FROM jsonb_to_recordset(:rows::jsonb)
        AS r(n integer, address text, local text, small text, destination text, scope text, labelled text, behind text)
), alike AS (
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient = r.address
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON lower(d.recipient) = r.small AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.*, d.queue_id, d.number
      FROM r JOIN deliveries AS d ON d.recipient >= r.labelled AND d.recipient < r.behind
)
UPDATE deliveries
   SET about_mailbox = 0
  FROM alike
 WHERE deliveries.queue_id = alike.queue_id
   AND deliveries.number   = alike.number
   AND deliveries.about_mailbox = 1;

-- name: late_bounce
UPDATE deliveries
   SET status = :status, status_at = :now, delivered_at = NULL, reason_class = :class, smtp_code = :code, dsn = :dsn,
       reason = :reason, about_mailbox = :about_mailbox
 WHERE queue_id = :queue_id AND number = :number AND status = 'sent'
RETURNING queue_id, number;

-- name: tell_late_bounce
-- Only if it was this report that made it one.
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT status_at, status, queue_id, number, 'relay', :detail
  FROM deliveries
 WHERE queue_id = :queue_id AND number = :number AND status = :status AND status_at = :now;

-- name: sent_delivery
SELECT d.queue_id, d.number, d.recipient, d.destination, d.status, d.in_hand, m.message_id, m.sender, m.sender_domain,
       coalesce(m.tag, '') AS tag, m.origin, m.received_at,
       (SELECT count(*) FROM deliveries AS o WHERE o.queue_id = d.queue_id) AS recipients
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.queue_id = :queue_id AND d.number = :number;

-- name: whole_delivery
SELECT queue_id, number, recipient, role, destination, notify, orcpt, status, attempts, warned
  FROM deliveries
 WHERE queue_id = :queue_id AND number = :number;

-- name: has_happened
SELECT event_id FROM happenings WHERE queue_id = :queue_id AND number = :number AND event = :event LIMIT 1;

-- name: find_sent
-- By its Message-ID or our own name for it; others do not keep an address's case.
SELECT d.queue_id, d.number, d.recipient, d.destination, d.status, d.in_hand, m.message_id, m.sender, m.sender_domain,
       coalesce(m.tag, '') AS tag, m.origin, m.received_at,
       (SELECT count(*) FROM deliveries AS o WHERE o.queue_id = d.queue_id) AS recipients
  FROM (SELECT queue_id, number FROM deliveries WHERE recipient = :address
         UNION
        SELECT queue_id, number FROM deliveries WHERE recipient = :small
         UNION
        SELECT queue_id, number FROM deliveries WHERE lower(recipient) = :small AND recipient <> lower(recipient)) AS alike
  JOIN deliveries AS d ON d.queue_id = alike.queue_id AND d.number = alike.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status IN ('sent', 'hard_bounce', 'soft_bounce')
   AND (m.message_id = :message_id OR m.queue_id = :queue_id)
 ORDER BY (d.status = 'sent') DESC, d.queue_id DESC
 LIMIT 1;

-- name: sent_of_message
-- Where a report hides the address: who had the message, if it was one alone.
SELECT d.queue_id, d.number, d.recipient, d.destination, d.status, d.in_hand, m.message_id, m.sender, m.sender_domain,
       coalesce(m.tag, '') AS tag, m.origin, m.received_at,
       (SELECT count(*) FROM deliveries AS o WHERE o.queue_id = d.queue_id) AS recipients
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.queue_id = :queue_id
 ORDER BY d.number
 LIMIT 2;

-- name: signing_keys
SELECT * FROM signing_keys ORDER BY domain, created_at, selector;

-- name: save_signing_key
INSERT INTO signing_keys (domain, selector, algorithm, state, public, created_at, state_at, seen_at)
VALUES (:domain, :selector, :algorithm, :state, :public, :created_at, :state_at, :seen_at)
    ON CONFLICT (domain, selector) DO UPDATE
   SET algorithm = excluded.algorithm, state = excluded.state, public = excluded.public,
       created_at = excluded.created_at, state_at = excluded.state_at, seen_at = excluded.seen_at
RETURNING domain;

-- name: set_key_state
UPDATE signing_keys
   SET state = :state, state_at = :now
 WHERE domain = :domain AND selector = :selector
RETURNING domain;

-- name: key_seen
UPDATE signing_keys SET seen_at = :at WHERE domain = :domain AND selector = :selector;

-- name: remove_signing_key
DELETE FROM signing_keys WHERE domain = :domain AND selector = :selector RETURNING domain;

-- name: keep_domain
INSERT INTO domains (domain, added_at)
SELECT :domain, :now
 WHERE EXISTS (SELECT 1 FROM signing_keys WHERE domain = :domain)
    ON CONFLICT (domain) DO NOTHING;

-- name: drop_domain
DELETE FROM domains WHERE domain = :domain AND NOT EXISTS (SELECT 1 FROM signing_keys WHERE domain = :domain);

-- name: secrets
SELECT name, value FROM secrets;

-- name: keep_secret
INSERT INTO secrets (name, value) VALUES (:name, :value::bytea) ON CONFLICT (name) DO NOTHING;

-- name: forget_secret
DELETE FROM secrets WHERE name = :name;

-- name: finished_messages
-- Of the messages named, those with no delivery left to decide.
SELECT DISTINCT r.queue_id
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text)
 WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = r.queue_id
                      AND d.status IN ('creating', 'spooled', 'deferred', 'held'));

-- name: drop_contents
-- With the last delivery. What the suppression list has stopped may be sent after all: it goes with prune_contents.
DELETE FROM contents
 WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text))
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = contents.queue_id
                      AND d.status IN ('creating', 'spooled', 'deferred', 'held', 'rejected'));

-- name: add_refusals
INSERT INTO refusals (ref, at, client_ip, credential, stage, smtp_code, dsn, rule, text, mail_from, rcpt_to)
SELECT ref, at, client_ip, credential, stage, code, dsn, rule, text, mail_from, rcpt_to
  FROM jsonb_to_recordset(:rows::jsonb)
    AS r(ref text, at double precision, client_ip text, credential text, stage text, code integer,
         dsn text, rule text, text text, mail_from text, rcpt_to text);

-- name: due_destinations
SELECT destination
  FROM queues
 WHERE next_at <= :now
   AND blocked_until <= :now
   AND destination NOT IN (SELECT jsonb_array_elements_text(:busy::jsonb))
 ORDER BY next_at
 LIMIT :limit;

-- name: wake_destinations
-- A person wants these tried now: a block is lifted.
INSERT INTO queues (destination, next_at)
SELECT destination, next_at
  FROM jsonb_to_recordset(:rows::jsonb) AS r(destination text, next_at double precision)
 ORDER BY destination COLLATE "C"
    ON CONFLICT (destination) DO UPDATE
   SET next_at = excluded.next_at, blocked_until = 0, failures = 0, block_reason = NULL;

-- name: claim_deliveries
-- The retry is written before the try: the attempt is spent and the next time lies past the lease.
-- What another node claims or settles just now is passed over; and so is a destination's row in queues, if a
-- group that gives it work is not committed yet: then it stays due, and is looked at again (see next_work).
-- A claim costs what it takes, however much waits, as long as it goes by the indexes. The planner, who does not know
-- how much room there is, is kept there by two things: never more than 1000 of a destination, and an array of those
-- found, which it believes to be short.
WITH looked AS (
    UPDATE queues
       SET looked_at = :now
     WHERE destination IN (SELECT q.destination
                             FROM jsonb_to_recordset(:rows::jsonb) AS r(destination text)
                             JOIN queues AS q ON q.destination = r.destination
                            ORDER BY q.destination
                              FOR UPDATE OF q SKIP LOCKED)
), due AS MATERIALIZED (
    SELECT array_agg(next.queue_id) AS queue_ids, array_agg(next.number) AS numbers
      FROM jsonb_to_recordset(:rows::jsonb) AS r(destination text, room integer)
     CROSS JOIN LATERAL (SELECT queue_id, number
                           FROM (SELECT queue_id, number
                                   FROM deliveries
                                  WHERE destination = r.destination AND due_at <= :now
                                  ORDER BY due_at
                                  LIMIT r.room
                                    FOR NO KEY UPDATE SKIP LOCKED) AS free
                          LIMIT 1000) AS next
)
UPDATE deliveries AS d
   SET attempts = d.attempts + 1, in_hand = 1, due_at = :until
  FROM due
 CROSS JOIN unnest(due.queue_ids, due.numbers) AS taken(queue_id, number)
 WHERE d.queue_id = taken.queue_id
   AND d.number   = taken.number
RETURNING d.queue_id, d.number, d.recipient, d.role, d.destination, d.notify, d.orcpt, d.status, d.attempts, d.warned;

-- name: next_work
-- Only with the row in our hand (looked_at is ours): nobody can give work to a destination then without our seeing it.
-- Whether there is any is asked by min(), which reads one entry of the index; of EXISTS the planner makes a join, and
-- may read all that waits.
UPDATE queues
   SET next_at = greatest(blocked_until, (SELECT min(due_at) FROM deliveries AS d
                                           WHERE d.destination = queues.destination AND d.due_at IS NOT NULL))
 WHERE destination IN (SELECT destination FROM jsonb_to_recordset(:rows::jsonb) AS r(destination text))
   AND looked_at = :now
   AND (SELECT min(due_at) FROM deliveries AS d
         WHERE d.destination = queues.destination AND d.due_at IS NOT NULL) IS NOT NULL;

-- name: no_work
DELETE FROM queues
 WHERE destination IN (SELECT destination FROM jsonb_to_recordset(:rows::jsonb) AS r(destination text))
   AND looked_at = :now
   AND blocked_until <= :now
   AND (SELECT min(due_at) FROM deliveries AS d
         WHERE d.destination = queues.destination AND d.due_at IS NOT NULL) IS NULL;

-- name: renew_claims
UPDATE deliveries
   SET due_at = :until
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, attempt integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.attempts = r.attempt
   AND deliveries.due_at IS NOT NULL;

-- name: release_claims
-- Given back untried: the attempt was not spent after all.
UPDATE deliveries
   SET due_at = :now, in_hand = 0, attempts = attempts - 1
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, attempt integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.attempts = r.attempt
   AND deliveries.due_at IS NOT NULL;

-- name: stopped_claims
SELECT d.queue_id, d.number
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
  JOIN deliveries AS d ON d.queue_id = r.queue_id AND d.number = r.number
 WHERE d.status IN ('held', 'cancelled', 'rejected');

-- name: block_destination
INSERT INTO queues (destination, next_at, blocked_until, failures, block_reason)
VALUES (:destination, :until, :until, 1, :reason)
    ON CONFLICT (destination) DO UPDATE
   SET blocked_until = excluded.blocked_until, next_at = greatest(queues.next_at, excluded.next_at),
       failures = queues.failures + 1, block_reason = excluded.block_reason
 WHERE queues.blocked_until <= :now;

-- name: unblock_destination
UPDATE queues
   SET blocked_until = 0, failures = 0, block_reason = NULL
 WHERE destination = :destination AND failures > 0;

-- name: failures
SELECT failures FROM queues WHERE destination = :destination;

-- name: messages
SELECT m.*
  FROM jsonb_array_elements_text(:queue_ids::jsonb) AS r(queue_id)
  JOIN messages AS m ON m.queue_id = r.queue_id;

-- name: first_pages
SELECT c.queue_id, c.bytes
  FROM jsonb_array_elements_text(:queue_ids::jsonb) AS r(queue_id)
  JOIN contents AS c ON c.queue_id = r.queue_id AND c.page = 0;

-- name: content_pages
SELECT page, bytes FROM contents WHERE queue_id = :queue_id AND page >= :page ORDER BY page LIMIT :limit;

-- name: in_turn
-- Sequences number when a row is made, not when it is committed: who must be in order waits for who is before him.
SELECT pg_advisory_xact_lock(hashtext('mailtrail.in_turn'));

-- name: tell
-- Every node that listens hears it when this commits.
SELECT pg_notify('mailtrail', :topic);

-- name: retry_deliveries
-- Due now, or spread over some seconds; what is in hand is being tried already.
UPDATE deliveries
   SET due_at = r.due_at
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, due_at double precision)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status IN ('creating', 'spooled', 'deferred')
   AND NOT (deliveries.in_hand = 1 AND deliveries.due_at > :now)
RETURNING deliveries.queue_id, deliveries.number;

-- name: hold_deliveries
UPDATE deliveries
   SET status = 'held', status_at = :now, due_at = NULL, held_reason = :reason
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status IN ('creating', 'spooled', 'deferred')
RETURNING deliveries.queue_id, deliveries.number;

-- name: release_deliveries
-- What is still in hand from before it was held comes due when that attempt is settled, or its lease over.
UPDATE deliveries
   SET status = CASE WHEN reason IS NULL THEN 'creating' ELSE 'deferred' END,
       status_at = :now::double precision, held_reason = NULL,
       due_at = CASE WHEN in_hand = 1 THEN :now::double precision + :lease::double precision ELSE r.due_at END
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer, due_at double precision)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status   = 'held'
RETURNING deliveries.queue_id, deliveries.number;

-- name: cancel_deliveries
UPDATE deliveries
   SET status = 'cancelled', status_at = :now, due_at = NULL
  FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text, number integer)
 WHERE deliveries.queue_id = r.queue_id
   AND deliveries.number   = r.number
   AND deliveries.status IN ('creating', 'spooled', 'deferred', 'held')
RETURNING deliveries.queue_id, deliveries.number;

-- name: credential
SELECT * FROM credentials WHERE name = :name;

-- name: credentials
SELECT * FROM credentials ORDER BY name;

-- name: save_credential
INSERT INTO credentials (name, secrets, created_at, domains, networks, rate_messages, rate_seconds, max_message_size,
                         tag, revoked_at, track_opens, track_clicks, unsubscribe)
VALUES (:name, :secrets, :created_at, :domains, :networks, :rate_messages, :rate_seconds, :max_message_size,
        :tag, :revoked_at, :track_opens, :track_clicks, :unsubscribe)
    ON CONFLICT (name) DO UPDATE
   SET secrets = excluded.secrets, domains = excluded.domains, networks = excluded.networks,
       rate_messages = excluded.rate_messages, rate_seconds = excluded.rate_seconds,
       max_message_size = excluded.max_message_size, tag = excluded.tag, revoked_at = excluded.revoked_at,
       track_opens = excluded.track_opens, track_clicks = excluded.track_clicks, unsubscribe = excluded.unsubscribe;

-- name: spend
-- A token bucket: it holds :messages, refills in :seconds, and one message takes one token if there is one.
-- Time never goes back in it, whatever the clocks of those who spend.
INSERT INTO buckets AS b (credential, tokens, at)
VALUES (:name, :messages::double precision - 1, :now)
    ON CONFLICT (credential) DO UPDATE
   SET tokens = least(:messages::double precision,
                      b.tokens + greatest(excluded.at - b.at, 0) * :messages::double precision / :seconds::double precision) - 1,
       at = greatest(excluded.at, b.at)
 WHERE least(:messages::double precision,
             b.tokens + greatest(excluded.at - b.at, 0) * :messages::double precision / :seconds::double precision) >= 1
RETURNING tokens;

-- name: bucket
SELECT tokens, at FROM buckets WHERE credential = :name;

-- name: take_lease
INSERT INTO leases (name, holder, until)
VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE
   SET holder = excluded.holder, until = excluded.until
 WHERE leases.until <= :now OR leases.holder = excluded.holder
RETURNING holder;

-- name: join_workers
-- Takes the smallest number that no living worker has. Of those who want it at once the first one gets it; the others
-- wait for its commit, get no row, and ask again.
INSERT INTO workers (writer, host, pid, version, started_at, seen_at, joined)
SELECT number, :host, :pid::integer, :version, :now::double precision, :now::double precision,
       (SELECT coalesce(max(joined), 0) + 1 FROM workers)
  FROM generate_series(0, :last::integer) AS number
 WHERE number NOT IN (SELECT writer FROM workers WHERE seen_at > :since)
 ORDER BY number
 LIMIT 1
    ON CONFLICT (writer) DO UPDATE
   SET host = excluded.host, pid = excluded.pid, version = excluded.version, started_at = excluded.started_at,
       seen_at = excluded.seen_at, in_hand = 0, sessions = 0, joined = excluded.joined, knows = 0
 WHERE workers.seen_at <= :since
RETURNING writer;

-- name: worker_alive
-- No row: its number has been given to another one, because it was silent for too long. If nobody took it, it comes as
-- one who joins: the others have counted without it.
UPDATE workers
   SET seen_at = :now, in_hand = :in_hand, sessions = :sessions,
       joined = CASE WHEN seen_at <= :since THEN (SELECT max(joined) + 1 FROM workers) ELSE joined END
 WHERE writer = :writer AND host = :host AND pid = :pid AND started_at = :started_at
RETURNING writer;

-- name: worker_knows
-- It has made room for all that had joined by then.
UPDATE workers
   SET knows = :knows
 WHERE writer = :writer AND host = :host AND pid = :pid AND started_at = :started_at;

-- name: worker_gone
-- Its number is free at once; when it was last seen stays.
UPDATE workers
   SET stopped_at = :now, seen_at = 0, in_hand = 0, sessions = 0
 WHERE writer = :writer AND host = :host AND pid = :pid AND started_at = :started_at;

-- name: live_workers
SELECT writer, host, pid, version, started_at, seen_at FROM workers WHERE seen_at > :since ORDER BY writer;

-- name: peers
SELECT writer, host, pid, joined, knows FROM workers WHERE seen_at > :since ORDER BY writer;

-- name: workers
-- All that are remembered: a number keeps its last worker until another one takes it.
SELECT writer, host, pid, version, started_at, in_hand, sessions, seen_at > :since AS alive,
       CASE WHEN seen_at > 0 THEN seen_at ELSE stopped_at END AS seen_at
  FROM workers
 ORDER BY host, writer;

-- name: unlogged_actions
-- What operators did since the last one that is in the log, message by message.
SELECT event, queue_id, actor, detail, count(*) AS deliveries, max(event_id) AS last
  FROM (SELECT event, queue_id, actor, detail, event_id
          FROM happenings
         WHERE event_id > coalesce((SELECT value::bigint FROM meta WHERE name = 'logged_action'), 0)
           AND actor <> 'relay'
         ORDER BY event_id
         LIMIT :limit) AS unlogged
 GROUP BY event, queue_id, actor, detail
 ORDER BY last;

-- name: action_logged
INSERT INTO meta (name, value)
VALUES ('logged_action', :last::bigint::text)
    ON CONFLICT (name) DO UPDATE
   SET value = excluded.value;

-- name: schema_version
SELECT value::integer AS version FROM meta WHERE name = 'schema';

-- name: numbers_used
-- How far the numbers of tables have come; readers of events go by them, so they are never given again.
SELECT 'refusals' AS name, coalesce(pg_sequence_last_value(pg_get_serial_sequence('refusals', 'refusal_id')::regclass), 0) AS used
 UNION ALL
SELECT 'tries', coalesce(pg_sequence_last_value(pg_get_serial_sequence('tries', 'attempt_id')::regclass), 0)
 UNION ALL
SELECT 'happenings', coalesce(pg_sequence_last_value(pg_get_serial_sequence('happenings', 'event_id')::regclass), 0);

-- name: forget_numbers
-- They are set in one step.

-- name: continue_numbers
SELECT setval(pg_get_serial_sequence('refusals', 'refusal_id'), greatest(:refusals::bigint, 1), :refusals::bigint > 0),
       setval(pg_get_serial_sequence('tries', 'attempt_id'), greatest(:tries::bigint, 1), :tries::bigint > 0),
       setval(pg_get_serial_sequence('happenings', 'event_id'), greatest(:happenings::bigint, 1), :happenings::bigint > 0);

-- name: old_messages
-- Messages decided before :before: nothing waits, and the last status is older.
SELECT m.queue_id
  FROM messages AS m
 WHERE m.queue_id > :after AND m.received_at < :before
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = m.queue_id
                      AND (d.status IN ('creating', 'spooled', 'deferred', 'held') OR d.status_at >= :before))
 ORDER BY m.queue_id
 LIMIT :limit;

-- name: prune_deliveries
DELETE FROM deliveries WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: prune_attempts
DELETE FROM tries WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: prune_events
DELETE FROM happenings WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: prune_visits
DELETE FROM visits WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: prune_marks
DELETE FROM marks WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: prune_messages
DELETE FROM messages WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text));

-- name: old_contents
SELECT DISTINCT c.queue_id
  FROM contents AS c
 WHERE c.queue_id > :after
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = c.queue_id
                      AND (d.status IN ('creating', 'spooled', 'deferred', 'held') OR d.status_at >= :before
                           OR (d.status = 'rejected' AND d.status_at >= :dropped_before)))
 ORDER BY c.queue_id
 LIMIT :limit;

-- name: prune_contents
DELETE FROM contents
 WHERE queue_id IN (SELECT queue_id FROM jsonb_to_recordset(:rows::jsonb) AS r(queue_id text))
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = contents.queue_id
                      AND (d.status IN ('creating', 'spooled', 'deferred', 'held') OR d.status_at >= :before
                           OR (d.status = 'rejected' AND d.status_at >= :dropped_before)));

-- name: prune_transcripts
UPDATE tries
   SET transcript = NULL
 WHERE attempt_id IN (SELECT attempt_id FROM tries
                       WHERE attempt_id > :after AND finished_at < :before AND transcript IS NOT NULL
                       ORDER BY attempt_id LIMIT :limit)
RETURNING attempt_id;

-- name: prune_refusals
DELETE FROM refusals
 WHERE refusal_id IN (SELECT refusal_id FROM refusals WHERE at < :before LIMIT :limit)
RETURNING refusal_id;

-- name: prune_status_counts
DELETE FROM status_sums WHERE hour < :before::bigint / 3600 OR deliveries = 0;

-- name: prune_domain_counts
DELETE FROM domain_sums WHERE day < :before::bigint / 86400 OR deliveries = 0;

-- name: sum_up_statuses
-- Adds the changes to the sums, and lets them go in the same statement: one that another node commits meanwhile is
-- neither in the one nor in the other, and is added next time.
WITH changes AS (
    DELETE FROM status_counts RETURNING *
)
INSERT INTO status_sums (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT hour, tag, credential, sender_domain, status, sum(deliveries), sum(bytes)
  FROM changes
 GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, tag, credential, sender_domain, status) DO UPDATE
   SET deliveries = status_sums.deliveries + excluded.deliveries, bytes = status_sums.bytes + excluded.bytes;

-- name: forget_statuses
-- They are gone already.

-- name: sum_up_domains
WITH changes AS (
    DELETE FROM domain_counts RETURNING *
)
INSERT INTO domain_sums (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT day, destination, status, sum(deliveries), sum(delay_sum), max(delay_max), max(last_at)
  FROM changes
 GROUP BY 1, 2, 3
    ON CONFLICT (day, destination, status) DO UPDATE
   SET deliveries = domain_sums.deliveries + excluded.deliveries, delay_sum = domain_sums.delay_sum + excluded.delay_sum,
       delay_max = greatest(domain_sums.delay_max, excluded.delay_max),
       last_at = greatest(domain_sums.last_at, excluded.last_at);

-- name: forget_domains
-- They are gone already.
