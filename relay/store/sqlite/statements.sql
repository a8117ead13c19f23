-- Every statement of the store, by name. :rows is a JSON array of objects: one statement, one call
-- and one release of the interpreter's lock for a however many messages are in it. Where many values of a row are
-- read, MATERIALIZED: else SQLite writes the row's JSON anew for each of them (a third of the time, measured).

-- name: lock_deliveries
-- Nobody else writes: the transaction has the one lock.

-- name: accept_messages
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO messages (queue_id, received_at, origin, reverse_path, sender, sender_domain, subject, message_id,
                      size, ret, envid, eight_bit, smtputf8, tag, metadata, credential, client_ip,
                      track_opens, track_clicks, unsubscribe)
SELECT value->>'queue_id', value->>'received_at', value->>'origin', value->>'reverse_path', value->>'sender',
       value->>'sender_domain', value->>'subject', value->>'message_id', value->>'size', value->>'ret',
       value->>'envid', value->>'eight_bit', value->>'smtputf8', value->>'tag', value->>'metadata',
       value->>'credential', value->>'client_ip', value->>'track_opens', value->>'track_clicks', value->>'unsubscribe'
  FROM r;

-- name: accept_contents
INSERT INTO contents (queue_id, page, bytes)
SELECT value->>'queue_id', value->>'page', substr(:blob, (value->>'start') + 1, value->>'length')
  FROM json_each(:rows);

-- name: accept_deliveries
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO deliveries (queue_id, number, recipient, role, destination, notify, orcpt, status, status_at, due_at,
                        attempts, in_hand)
SELECT value->>'queue_id', value->>'number', value->>'recipient', value->>'role', value->>'destination',
       value->>'notify', value->>'orcpt', value->>'status', value->>'status_at', value->>'due_at',
       value->>'attempts', value->>'attempts'
  FROM r;

-- name: add_work
-- The earliest due time of each destination that the group gave work to; a blocked destination stays blocked.
INSERT INTO queues (destination, next_at)
SELECT value->>'destination', value->>'next_at'
  FROM json_each(:rows)
 WHERE true
    ON CONFLICT (destination) DO UPDATE
   SET next_at = max(blocked_until, excluded.next_at)
 WHERE queues.next_at > max(blocked_until, excluded.next_at);

-- name: settle_deliveries
-- Names the attempt: a late answer to an old claim matches nothing. What a person held or cancelled meanwhile
-- stays so, unless the attempt decided it; and what was suppressed, unless it was sent.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
UPDATE deliveries
   SET status = CASE WHEN (deliveries.status = 'held' AND value->>'status' = 'deferred')
                       OR (deliveries.status = 'cancelled' AND value->>'status' IN ('deferred', 'rejected'))
                     THEN deliveries.status ELSE value->>'status' END,
       due_at = CASE WHEN deliveries.status IN ('held', 'cancelled') THEN NULL ELSE value->>'due_at' END,
       in_hand      = 0,
       status_at    = value->>'status_at',
       delivered_at = value->>'delivered_at',
       reason_class = value->>'reason_class',
       smtp_code    = value->>'smtp_code',
       dsn          = value->>'dsn',
       reason       = value->>'reason',
       mx_host      = value->>'mx_host',
       mx_ip        = value->>'mx_ip',
       warned       = warned OR value->>'warned',
       trackable    = coalesce(value->>'trackable', trackable),
       links        = coalesce(value->>'links', links),
       copy_note    = coalesce(value->>'copy_note', copy_note)
  FROM r
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.attempts = value->>'attempt'
   AND deliveries.in_hand
   AND (deliveries.status IN ('creating', 'spooled', 'deferred', 'held', 'cancelled')
        OR (deliveries.status = 'rejected' AND value->>'status' = 'sent'))
RETURNING deliveries.queue_id, deliveries.number;

-- name: add_attempts
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO tries (queue_id, number, attempt, started_at, finished_at, outcome, reason_class, mx_host, mx_ip, mx_port,
                      source_ip, tls, smtp_code, dsn, reply, in_reply_to, ms_queue, ms_dns, ms_connect, ms_tls, ms_data,
                      transcript)
SELECT value->>'queue_id', value->>'number', value->>'attempt', value->>'started_at', value->>'finished_at',
       value->>'outcome', value->>'reason_class', value->>'mx_host', value->>'mx_ip', value->>'mx_port',
       value->>'source_ip', value->>'tls', value->>'smtp_code', value->>'dsn', value->>'reply', value->>'in_reply_to',
       value->>'ms_queue', value->>'ms_dns', value->>'ms_connect', value->>'ms_tls', value->>'ms_data',
       value->>'transcript'
  FROM r;

-- name: add_events
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT value->>'at', value->>'event', value->>'queue_id', value->>'number', value->>'actor', value->>'detail'
  FROM r;

-- name: spool_deliveries
UPDATE deliveries
   SET status = 'spooled', status_at = value->>'at'
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.attempts = value->>'attempt'
   AND deliveries.status   = 'creating';

-- name: count_statuses
-- :sign is -1 before a change and +1 after it, so that the boxes follow every status, whoever changes it. What is
-- counted is the status with the marks that lie over it ('sent trackable opened'): the view boxes takes them apart.
INSERT INTO status_counts (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT CAST(m.received_at / 3600 AS INTEGER), coalesce(m.tag, ''), coalesce(m.credential, ''), m.sender_domain,
       d.status || iif(d.trackable, ' trackable', '')
                || CASE WHEN k.opens + k.clicks > 0 THEN ' opened' WHEN k.auto_opens > 0 THEN ' opened auto' ELSE '' END
                || iif(k.clicks > 0, ' clicked', '')
                || iif(k.unsubscribed_at IS NOT NULL, ' unsubscribed', '')
                || iif(k.complained_at IS NOT NULL, ' spam', ''),
       :sign * count(*), :sign * sum(m.size)
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
  JOIN messages AS m ON m.queue_id = d.queue_id
  LEFT JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE m.origin = 'application'
 GROUP BY 1, 2, 3, 4, 5;

-- name: count_domains
INSERT INTO domain_counts (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT CAST(m.received_at / 86400 AS INTEGER), d.destination, d.status, :sign * count(*),
       :sign * coalesce(sum(d.delivered_at - m.received_at), 0), coalesce(max(d.delivered_at - m.received_at), 0),
       max(d.status_at)
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE m.origin = 'application'
 GROUP BY 1, 2, 3;

-- name: count_clicks
-- How many clicks by persons, beside how many persons clicked.
INSERT INTO status_counts (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT CAST(m.received_at / 3600 AS INTEGER), coalesce(m.tag, ''), coalesce(m.credential, ''), m.sender_domain,
       'link_clicks', :sign * sum(k.clicks), 0
  FROM json_each(:rows) AS r
  JOIN marks AS k ON k.queue_id = r.value->>'queue_id' AND k.number = r.value->>'number'
  JOIN messages AS m ON m.queue_id = k.queue_id
 WHERE m.origin = 'application' AND k.clicks > 0
 GROUP BY 1, 2, 3, 4;

-- name: count_complaints
INSERT INTO domain_counts (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT CAST(m.received_at / 86400 AS INTEGER), d.destination, 'spam', :sign * count(*), 0, 0, max(k.complained_at)
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
  JOIN messages AS m ON m.queue_id = d.queue_id
  JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE m.origin = 'application' AND k.complained_at IS NOT NULL
 GROUP BY 1, 2;

-- name: mark_visits
-- Visits that are kept already are not counted again, nor those of deliveries that are not kept any more.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO marks (queue_id, number, opens, auto_opens, first_open_at, last_open_at,
                   clicks, auto_clicks, first_click_at, last_click_at)
SELECT d.queue_id, d.number,
       count(*) FILTER (WHERE value->>'kind' = 'open' AND value->>'made_by' = 'person'),
       count(*) FILTER (WHERE value->>'kind' = 'open' AND value->>'made_by' = 'machine'),
       min(value->>'at') FILTER (WHERE value->>'kind' = 'open'),
       max(value->>'at') FILTER (WHERE value->>'kind' = 'open'),
       count(*) FILTER (WHERE value->>'kind' = 'click' AND value->>'made_by' = 'person'),
       count(*) FILTER (WHERE value->>'kind' = 'click' AND value->>'made_by' = 'machine'),
       min(value->>'at') FILTER (WHERE value->>'kind' = 'click' AND value->>'made_by' = 'person'),
       max(value->>'at') FILTER (WHERE value->>'kind' = 'click' AND value->>'made_by' = 'person')
  FROM r
  JOIN deliveries AS d ON d.queue_id = value->>'queue_id' AND d.number = value->>'number'
 WHERE NOT EXISTS (SELECT 1 FROM visits AS v
                    WHERE v.queue_id = d.queue_id AND v.number = d.number AND v.visit_id = value->>'visit_id')
 GROUP BY d.queue_id, d.number
    ON CONFLICT (queue_id, number) DO UPDATE
   SET opens = opens + excluded.opens, auto_opens = auto_opens + excluded.auto_opens,
       clicks = clicks + excluded.clicks, auto_clicks = auto_clicks + excluded.auto_clicks,
       first_open_at  = min(coalesce(first_open_at, excluded.first_open_at), coalesce(excluded.first_open_at, first_open_at)),
       last_open_at   = max(coalesce(last_open_at, excluded.last_open_at), coalesce(excluded.last_open_at, last_open_at)),
       first_click_at = min(coalesce(first_click_at, excluded.first_click_at), coalesce(excluded.first_click_at, first_click_at)),
       last_click_at  = max(coalesce(last_click_at, excluded.last_click_at), coalesce(excluded.last_click_at, last_click_at));

-- name: tell_visits
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT value->>'at', value->>'event', d.queue_id, d.number, 'relay', value->>'detail'
  FROM r
  JOIN deliveries AS d ON d.queue_id = value->>'queue_id' AND d.number = value->>'number'
 WHERE NOT EXISTS (SELECT 1 FROM visits AS v
                    WHERE v.queue_id = d.queue_id AND v.number = d.number AND v.visit_id = value->>'visit_id')
 ORDER BY value->>'at';

-- name: add_visits
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO visits (queue_id, number, visit_id, at, kind, link, target, ip, agent, hints, made_by, agent_class, reason)
SELECT d.queue_id, d.number, value->>'visit_id', value->>'at', value->>'kind', value->>'link', value->>'target',
       value->>'ip', value->>'agent', value->>'hints', value->>'made_by', value->>'agent_class', value->>'reason'
  FROM r
  JOIN deliveries AS d ON d.queue_id = value->>'queue_id' AND d.number = value->>'number'
 WHERE true
    ON CONFLICT (queue_id, number, visit_id) DO NOTHING;

-- name: shift_marks
-- Of visits on which the verdict is another one now: from persons to machines, or back.
UPDATE marks
   SET opens = marks.opens + s.opens, auto_opens = auto_opens - s.opens,
       clicks = marks.clicks + s.clicks, auto_clicks = auto_clicks - s.clicks,
       first_click_at = CASE WHEN marks.clicks + s.clicks > 0
                             THEN min(coalesce(first_click_at, s.first_at), coalesce(s.first_at, first_click_at)) END,
       last_click_at  = CASE WHEN marks.clicks + s.clicks > 0
                             THEN max(coalesce(last_click_at, s.last_at), coalesce(s.last_at, last_click_at)) END
  FROM (SELECT v.queue_id, v.number,
               sum((v.kind = 'open') * iif(value->>'made_by' = 'person', 1, -1)) AS opens,
               sum((v.kind = 'click') * iif(value->>'made_by' = 'person', 1, -1)) AS clicks,
               min(v.at) FILTER (WHERE v.kind = 'click' AND value->>'made_by' = 'person') AS first_at,
               max(v.at) FILTER (WHERE v.kind = 'click' AND value->>'made_by' = 'person') AS last_at
          FROM json_each(:rows) AS r
          JOIN visits AS v ON v.queue_id = r.value->>'queue_id' AND v.number = r.value->>'number'
                          AND v.visit_id = r.value->>'visit_id'
         WHERE v.made_by <> r.value->>'made_by'
         GROUP BY v.queue_id, v.number) AS s
 WHERE marks.queue_id = s.queue_id
   AND marks.number   = s.number;

-- name: judge_visits
UPDATE visits
   SET made_by = value->>'made_by', agent_class = value->>'agent_class', reason = value->>'reason'
  FROM json_each(:rows)
 WHERE visits.queue_id = value->>'queue_id'
   AND visits.number   = value->>'number'
   AND visits.visit_id = value->>'visit_id';

-- name: visited_deliveries
SELECT d.queue_id, d.number, d.recipient, d.destination, d.delivered_at, d.links
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number';

-- name: recent_visits
-- Of each delivery the newest :limit, by the index: however many there are.
SELECT v.*
  FROM json_each(:rows) AS r
 CROSS JOIN visits AS v
    ON (v.queue_id, v.number, v.visit_id) IN (SELECT queue_id, number, visit_id
                                                FROM visits
                                               WHERE queue_id = r.value->>'queue_id' AND number = r.value->>'number'
                                                 AND at > :since
                                               ORDER BY at DESC
                                               LIMIT :limit);

-- name: subscription
SELECT d.recipient, m.sender, m.sender_domain, coalesce(m.tag, '') AS tag, m.received_at
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.queue_id = :queue_id AND d.number = :number;

-- name: suppressed
-- What stops mail to these addresses and domains now, for its tag or for all mail.
SELECT r.value->>'n' AS n, s.*
  FROM json_each(:rows) AS r
  JOIN suppression_list AS s ON s.address = r.value->>'address' AND s.scope IN ('', r.value->>'tag')
 WHERE s.expires_at IS NULL OR s.expires_at > :now;

-- name: suppressions_named
-- Whatever the reason.
SELECT s.*
  FROM json_each(:rows) AS r
  JOIN suppression_list AS s ON s.address = r.value->>'address' AND s.scope = r.value->>'scope';

-- name: save_suppressions
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows))
INSERT INTO suppression_list (address, scope, reason, source, added_at, expires_at, queue_id, number, reply, note)
SELECT value->>'address', value->>'scope', value->>'reason', value->>'source', value->>'added_at', value->>'expires_at',
       value->>'queue_id', value->>'number', value->>'reply', value->>'note'
  FROM r
 WHERE true
    ON CONFLICT (address, scope, reason) DO UPDATE
   SET source = excluded.source, added_at = excluded.added_at,
       expires_at = excluded.expires_at, queue_id = excluded.queue_id, number = excluded.number,
       reply = excluded.reply, note = excluded.note;

-- name: remove_suppressions
DELETE FROM suppression_list
 WHERE (address, scope, reason) IN (SELECT value->>'address', value->>'scope', value->>'reason' FROM json_each(:rows))
RETURNING address, scope, reason;

-- name: delivery_wishes
SELECT k.unsubscribed_at, k.complained_at
  FROM deliveries AS d
  LEFT JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number
 WHERE d.queue_id = :queue_id AND d.number = :number;

-- name: mark_wishes
INSERT INTO marks (queue_id, number, unsubscribed_at, complained_at, spam_source)
SELECT d.queue_id, d.number, value->>'unsubscribed_at', value->>'complained_at', value->>'spam_source'
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
 WHERE true
    ON CONFLICT (queue_id, number) DO UPDATE
   SET unsubscribed_at = coalesce(unsubscribed_at, excluded.unsubscribed_at),
       complained_at   = coalesce(complained_at, excluded.complained_at),
       spam_source     = coalesce(spam_source, excluded.spam_source);

-- name: waiting_for_addresses
-- Spelled as the list has it, or with capital letters somewhere, or with a label where labels do not count
-- (labelled to behind; NULL: they do). The local part must be the same, and so must where mail goes.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows)),
     alike (value, queue_id, number) AS (
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient = r.value->>'address'
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON lower(d.recipient) = r.value->>'small' AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient >= r.value->>'labelled' AND d.recipient < r.value->>'behind'
)
SELECT value->>'n' AS n, d.queue_id, d.number
  FROM alike
  JOIN deliveries AS d ON d.queue_id = alike.queue_id AND d.number = alike.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status IN ('creating', 'spooled', 'deferred', 'held')
   AND (substr(d.recipient, 1, length(value->>'local')) = value->>'local'
        OR (d.recipient >= value->>'labelled' AND d.recipient < value->>'behind'))
   AND d.destination = value->>'destination'
   AND m.origin = 'application'
   AND value->>'scope' IN ('', m.tag)
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
   SET status = 'rejected', status_at = :now, due_at = NULL, reason_class = value->>'class', smtp_code = NULL,
       dsn = value->>'dsn', reason = value->>'reason'
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status IN ('creating', 'spooled', 'deferred', 'held')
RETURNING deliveries.queue_id, deliveries.number;

-- name: tell_rejected
-- Only of those that were: one that was sent meanwhile was not.
INSERT INTO happenings (at, event, queue_id, number, actor, detail)
SELECT :now, 'rejected', d.queue_id, d.number, :actor, value->>'detail'
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
 WHERE d.status = 'rejected' AND d.status_at = :now;

-- name: dropped_for_address
-- What this entry has forbidden since, whichever was told as the reason, and whether it can still be sent.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows)),
     alike (value, queue_id, number) AS (
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient = r.value->>'address'
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON lower(d.recipient) = r.value->>'small' AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient >= r.value->>'labelled' AND d.recipient < r.value->>'behind'
)
SELECT d.queue_id, d.number, d.recipient, d.destination, coalesce(m.tag, '') AS tag, d.status_at, m.subject,
       EXISTS (SELECT 1 FROM contents AS c WHERE c.queue_id = d.queue_id) AS kept
  FROM alike
  JOIN deliveries AS d ON d.queue_id = alike.queue_id AND d.number = alike.number
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status = 'rejected'
   AND (substr(d.recipient, 1, length(value->>'local')) = value->>'local'
        OR (d.recipient >= value->>'labelled' AND d.recipient < value->>'behind'))
   AND d.destination = value->>'destination'
   AND d.status_at >= :since AND d.status_at < :until
   AND value->>'scope' IN ('', m.tag)
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
   AND :scope IN ('', m.tag)
   AND (d.queue_id, d.number) > (:after_id, :after_number)
 ORDER BY d.queue_id, d.number
 LIMIT :limit;

-- name: release_dropped
-- What is still in hand from before it was rejected comes due when its lease is over.
UPDATE deliveries
   SET status = 'deferred', status_at = :now, reason_class = NULL, dsn = NULL, reason = :reason,
       due_at = CASE WHEN in_hand THEN :now + :lease ELSE :now END
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status   = 'rejected'
   AND EXISTS (SELECT 1 FROM contents AS c WHERE c.queue_id = deliveries.queue_id)
RETURNING deliveries.queue_id, deliveries.number;

-- name: mark_soft_bounces
-- They say something about the mailbox: so many in a row put it on the list.
UPDATE deliveries
   SET about_mailbox = 1
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status   = 'soft_bounce';

-- name: soft_bounces
-- The days (UTC) on which mail to this address came to such an end since any of it was delivered;
-- one delivery is left out: what was sent and comes back now is no success.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows)),
     alike (value, queue_id, number) AS (
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient = r.value->>'address'
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON lower(d.recipient) = r.value->>'small' AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient >= r.value->>'labelled' AND d.recipient < r.value->>'behind'
), mail AS (
    SELECT d.status, d.status_at, d.about_mailbox
      FROM alike
      JOIN deliveries AS d ON d.queue_id = alike.queue_id AND d.number = alike.number
     WHERE d.status IN ('sent', 'soft_bounce')
       AND NOT (d.queue_id = :queue_id AND d.number = :number)
   AND (substr(d.recipient, 1, length(value->>'local')) = value->>'local'
        OR (d.recipient >= value->>'labelled' AND d.recipient < value->>'behind'))
   AND d.destination = value->>'destination'
)
SELECT DISTINCT CAST(status_at / 86400 AS INTEGER) AS day
  FROM mail
 WHERE about_mailbox
   AND status = 'soft_bounce'
   AND status_at > (SELECT coalesce(max(status_at), 0) FROM mail WHERE status = 'sent');

-- name: forgive_soft_bounces
-- Whoever takes an address off the list wants it to be counted anew.
WITH r (value) AS MATERIALIZED (SELECT value FROM json_each(:rows)),
     alike (value, queue_id, number) AS (
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient = r.value->>'address'
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON lower(d.recipient) = r.value->>'small' AND d.recipient <> lower(d.recipient)
     UNION
    SELECT r.value, d.queue_id, d.number
      FROM r CROSS JOIN deliveries AS d ON d.recipient >= r.value->>'labelled' AND d.recipient < r.value->>'behind'
)
UPDATE deliveries
   SET about_mailbox = 0
  FROM alike
 WHERE deliveries.queue_id = alike.queue_id
   AND deliveries.number   = alike.number
   AND deliveries.about_mailbox;

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
 ORDER BY d.status = 'sent' DESC, d.queue_id DESC
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
-- They are files beside the database, which operators may read: see engine.py.

-- name: keep_secret
-- As above.

-- name: forget_secret
-- As above.

-- name: finished_messages
-- Of the messages named, those with no delivery left to decide.
SELECT DISTINCT r.value->>'queue_id' AS queue_id
  FROM json_each(:rows) AS r
 WHERE NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = r.value->>'queue_id'
                      AND d.status IN ('creating', 'spooled', 'deferred', 'held'));

-- name: drop_contents
-- With the last delivery. What the suppression list has stopped may be sent after all: it goes with prune_contents.
DELETE FROM contents
 WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows))
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d
                    WHERE d.queue_id = contents.queue_id
                      AND d.status IN ('creating', 'spooled', 'deferred', 'held', 'rejected'));

-- name: add_refusals
INSERT INTO refusals (ref, at, client_ip, credential, stage, smtp_code, dsn, rule, text, mail_from, rcpt_to)
SELECT value->>'ref', value->>'at', value->>'client_ip', value->>'credential', value->>'stage', value->>'code',
       value->>'dsn', value->>'rule', value->>'text', value->>'mail_from', value->>'rcpt_to'
  FROM json_each(:rows);

-- name: due_destinations
SELECT destination
  FROM queues
 WHERE next_at <= :now
   AND blocked_until <= :now
   AND destination NOT IN (SELECT value FROM json_each(:busy))
 ORDER BY next_at
 LIMIT :limit;

-- name: wake_destinations
-- A person wants these tried now: a block is lifted.
INSERT INTO queues (destination, next_at)
SELECT value->>'destination', value->>'next_at'
  FROM json_each(:rows)
 WHERE true
    ON CONFLICT (destination) DO UPDATE
   SET next_at = excluded.next_at, blocked_until = 0, failures = 0, block_reason = NULL;

-- name: claim_deliveries
-- The retry is written before the try: the attempt is spent and the next time lies past the lease. From the left end of
-- each destination's index, a step for each delivery that there is room for: a LIMIT would be the same for all.
WITH RECURSIVE due (destination, room, due_at, queue_id, number) AS (
    SELECT value->>'destination', value->>'room', -1, '', 0 -- comes before every delivery
      FROM json_each(:rows)
     UNION ALL
    SELECT last.destination, last.room - 1, d.due_at, d.queue_id, d.number
      FROM due AS last
     CROSS JOIN deliveries AS d
        ON (d.queue_id, d.number) = (SELECT queue_id, number
                                       FROM deliveries
                                      WHERE destination = last.destination AND due_at <= :now
                                        AND (due_at, queue_id, number) > (last.due_at, last.queue_id, last.number)
                                      ORDER BY due_at, queue_id, number
                                      LIMIT 1)
     WHERE last.room > 0
)
UPDATE deliveries
   SET attempts = attempts + 1, in_hand = 1, due_at = :until
  FROM due
 WHERE deliveries.queue_id = due.queue_id
   AND deliveries.number   = due.number
RETURNING queue_id, number, recipient, role, destination, notify, orcpt, status, attempts, warned;

-- name: next_work
UPDATE queues
   SET next_at = max(blocked_until, (SELECT min(due_at) FROM deliveries AS d
                                      WHERE d.destination = queues.destination AND d.due_at IS NOT NULL))
 WHERE destination IN (SELECT value->>'destination' FROM json_each(:rows))
   AND EXISTS (SELECT 1 FROM deliveries AS d WHERE d.destination = queues.destination AND d.due_at IS NOT NULL);

-- name: no_work
DELETE FROM queues
 WHERE destination IN (SELECT value->>'destination' FROM json_each(:rows))
   AND blocked_until <= :now
   AND NOT EXISTS (SELECT 1 FROM deliveries AS d WHERE d.destination = queues.destination AND d.due_at IS NOT NULL);

-- name: renew_claims
UPDATE deliveries
   SET due_at = :until
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.attempts = value->>'attempt'
   AND deliveries.due_at IS NOT NULL;

-- name: release_claims
-- Given back untried: the attempt was not spent after all.
UPDATE deliveries
   SET due_at = :now, in_hand = 0, attempts = attempts - 1
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.attempts = value->>'attempt'
   AND deliveries.due_at IS NOT NULL;

-- name: stopped_claims
SELECT d.queue_id, d.number
  FROM json_each(:rows) AS r
  JOIN deliveries AS d ON d.queue_id = r.value->>'queue_id' AND d.number = r.value->>'number'
 WHERE d.status IN ('held', 'cancelled', 'rejected');

-- name: block_destination
INSERT INTO queues (destination, next_at, blocked_until, failures, block_reason)
VALUES (:destination, :until, :until, 1, :reason)
    ON CONFLICT (destination) DO UPDATE
   SET blocked_until = :until, next_at = max(next_at, :until), failures = failures + 1, block_reason = :reason
 WHERE blocked_until <= :now;

-- name: unblock_destination
UPDATE queues
   SET blocked_until = 0, failures = 0, block_reason = NULL
 WHERE destination = :destination AND failures > 0;

-- name: failures
SELECT failures FROM queues WHERE destination = :destination;

-- name: messages
SELECT m.*
  FROM json_each(:queue_ids) AS r
  JOIN messages AS m ON m.queue_id = r.value;

-- name: first_pages
SELECT c.queue_id, c.bytes
  FROM json_each(:queue_ids) AS r
  JOIN contents AS c ON c.queue_id = r.value AND c.page = 0;

-- name: content_pages
SELECT page, bytes FROM contents WHERE queue_id = :queue_id AND page >= :page ORDER BY page LIMIT :limit;

-- name: in_turn
-- All who write do so one after the other.

-- name: tell
-- There is no channel: whoever waits looks again within a second.

-- name: retry_deliveries
-- Due now, or spread over some seconds; what is in hand is being tried already.
UPDATE deliveries
   SET due_at = value->>'due_at'
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status IN ('creating', 'spooled', 'deferred')
   AND NOT (deliveries.in_hand AND deliveries.due_at > :now)
RETURNING deliveries.queue_id, deliveries.number;

-- name: hold_deliveries
UPDATE deliveries
   SET status = 'held', status_at = :now, due_at = NULL, held_reason = :reason
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status IN ('creating', 'spooled', 'deferred')
RETURNING deliveries.queue_id, deliveries.number;

-- name: release_deliveries
-- What is still in hand from before it was held comes due when that attempt is settled, or its lease over.
UPDATE deliveries
   SET status = CASE WHEN reason IS NULL THEN 'creating' ELSE 'deferred' END,
       status_at = :now, held_reason = NULL,
       due_at = CASE WHEN in_hand THEN :now + :lease ELSE value->>'due_at' END
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
   AND deliveries.status   = 'held'
RETURNING deliveries.queue_id, deliveries.number;

-- name: cancel_deliveries
UPDATE deliveries
   SET status = 'cancelled', status_at = :now, due_at = NULL
  FROM json_each(:rows)
 WHERE deliveries.queue_id = value->>'queue_id'
   AND deliveries.number   = value->>'number'
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
INSERT INTO buckets (credential, tokens, at)
VALUES (:name, :messages - 1, :now)
    ON CONFLICT (credential) DO UPDATE
   SET tokens = min(:messages, tokens + max(excluded.at - at, 0) * :messages / :seconds) - 1,
       at = max(excluded.at, at)
 WHERE min(:messages, tokens + max(excluded.at - at, 0) * :messages / :seconds) >= 1
RETURNING tokens;

-- name: bucket
SELECT tokens, at FROM buckets WHERE credential = :name;

-- name: take_lease
INSERT INTO leases (name, holder, until)
VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE
   SET holder = :holder, until = :until
 WHERE leases.until <= :now OR leases.holder = :holder
RETURNING holder;

-- name: join_workers
-- Takes the smallest number that no living worker has.
WITH RECURSIVE numbers (number) AS (
    VALUES (0) UNION ALL SELECT number + 1 FROM numbers WHERE number < :last
)
INSERT INTO workers (writer, host, pid, version, started_at, seen_at, joined)
SELECT number, :host, :pid, :version, :now, :now,
       (SELECT coalesce(max(joined), 0) + 1 FROM workers)
  FROM numbers
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
         WHERE event_id > coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'logged_action'), 0)
           AND actor <> 'relay'
         ORDER BY event_id
         LIMIT :limit)
 GROUP BY event, queue_id, actor, detail
 ORDER BY last;

-- name: action_logged
INSERT INTO meta (name, value)
VALUES ('logged_action', :last)
    ON CONFLICT (name) DO UPDATE
   SET value = excluded.value;

-- name: schema_version
SELECT user_version AS version FROM pragma_user_version;

-- name: numbers_used
-- How far the numbers of tables have come; readers of events go by them, so they are never given again.
SELECT 'refusals' AS name, coalesce(max(refusal_id), 0) AS used FROM refusals
 UNION ALL
SELECT 'tries', coalesce(max(attempt_id), 0) FROM tries
 UNION ALL
SELECT 'happenings', coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'happenings';

-- name: forget_numbers
DELETE FROM sqlite_sequence WHERE name = 'happenings';

-- name: continue_numbers
-- The others go on from what is there.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'happenings', :happenings WHERE :refusals >= 0 AND :tries >= 0;

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
DELETE FROM deliveries WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

-- name: prune_attempts
DELETE FROM tries WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

-- name: prune_events
DELETE FROM happenings WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

-- name: prune_visits
DELETE FROM visits WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

-- name: prune_marks
DELETE FROM marks WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

-- name: prune_messages
DELETE FROM messages WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows));

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
 WHERE queue_id IN (SELECT value->>'queue_id' FROM json_each(:rows))
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
DELETE FROM status_sums WHERE hour < :before / 3600 OR deliveries = 0;

-- name: prune_domain_counts
DELETE FROM domain_sums WHERE day < :before / 86400 OR deliveries = 0;

-- name: sum_up_statuses
-- Adds the changes to the sums; then they go (forget_statuses).
INSERT INTO status_sums (hour, tag, credential, sender_domain, status, deliveries, bytes)
SELECT hour, tag, credential, sender_domain, status, sum(deliveries), sum(bytes)
  FROM status_counts
 WHERE true
 GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (hour, tag, credential, sender_domain, status) DO UPDATE
   SET deliveries = deliveries + excluded.deliveries, bytes = bytes + excluded.bytes;

-- name: forget_statuses
DELETE FROM status_counts;

-- name: sum_up_domains
INSERT INTO domain_sums (day, destination, status, deliveries, delay_sum, delay_max, last_at)
SELECT day, destination, status, sum(deliveries), sum(delay_sum), max(delay_max), max(last_at)
  FROM domain_counts
 WHERE true
 GROUP BY 1, 2, 3
    ON CONFLICT (day, destination, status) DO UPDATE
   SET deliveries = deliveries + excluded.deliveries, delay_sum = delay_sum + excluded.delay_sum,
       delay_max = max(delay_max, excluded.delay_max), last_at = max(last_at, excluded.last_at);

-- name: forget_domains
DELETE FROM domain_counts;
