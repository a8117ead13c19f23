-- The public views: what people and their tools may read. Columns are only ever added at the end, and what
-- each one means is in relay/store/columns.py. Times come twice: ..._at RFC 3339 UTC text, ..._ts Unix seconds.
-- A view is replaced and never dropped: what people have built on it stays. PostgreSQL sees to it that columns are only
-- added at the end.

CREATE OR REPLACE FUNCTION utc(seconds double precision) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN to_char(to_timestamp(seconds) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

CREATE OR REPLACE VIEW delivery_status AS          -- one row per delivery, of applications' mail and of our own notices (origin)
SELECT
       d.queue_id, d.queue_id || '.' || d.number AS recipient_id, d.recipient, d.role AS recipient_type,
       d.destination AS recipient_domain, d.status, d.reason_class, d.smtp_code, d.dsn, d.reason,
       utc(m.received_at) AS received_at,
       utc(d.status_at) AS status_at,
       utc(d.delivered_at) AS delivered_at,
       utc(d.due_at) AS next_attempt_at,
       d.attempts, d.mx_host, d.mx_ip, m.sender, m.sender_domain, m.reverse_path AS envelope_from, m.subject, m.message_id,
       m.tag, m.credential, m.client_ip, m.size,
       d.trackable::integer AS trackable, (coalesce(k.opens + k.auto_opens + k.clicks, 0) > 0)::integer AS opened,
       coalesce(k.opens, 0) AS opens, coalesce(k.auto_opens, 0) AS auto_opens,
       utc(least(k.first_open_at, k.first_click_at)) AS first_open_at,
       (coalesce(k.clicks, 0) > 0)::integer AS clicked, coalesce(k.clicks, 0) AS clicks, coalesce(k.auto_clicks, 0) AS auto_clicks,
       utc(k.first_click_at) AS first_click_at,
       (k.complained_at IS NOT NULL)::integer AS complained, (k.unsubscribed_at IS NOT NULL)::integer AS unsubscribed,
       m.received_at AS received_ts, d.status_at AS status_ts,
       m.origin, d.number, d.held_reason, d.in_hand,
       utc(greatest(k.last_open_at, k.last_click_at)) AS last_open_at,
       utc(k.last_click_at) AS last_click_at,
       d.links, nullif(d.copy_note, '') AS copy_note, k.spam_source
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
  LEFT JOIN marks AS k ON k.queue_id = d.queue_id AND k.number = d.number;

CREATE OR REPLACE VIEW email_status AS             -- one row per recipient of what applications sent
SELECT queue_id, recipient_id, recipient, recipient_type, recipient_domain, status, reason_class, smtp_code, dsn, reason,
       received_at, status_at, delivered_at, next_attempt_at, attempts, mx_host, mx_ip, sender, sender_domain,
       envelope_from, subject, message_id, tag, credential, client_ip, size, trackable, opened, opens, auto_opens,
       first_open_at, clicked, clicks, auto_clicks, first_click_at, complained, unsubscribed, received_ts, status_ts,
       last_open_at, last_click_at, links, copy_note, spam_source
  FROM delivery_status
 WHERE origin = 'application';

CREATE OR REPLACE VIEW message_status AS           -- one row per message
SELECT m.queue_id,
       utc(m.received_at) AS received_at,
       m.sender, m.subject, m.tag, m.credential,
       count(*) AS recipients,
       count(*) FILTER (WHERE d.status IN ('creating', 'spooled')) AS queued,
       count(*) FILTER (WHERE d.status = 'deferred') AS deferred,
       count(*) FILTER (WHERE d.status = 'held') AS held,
       count(*) FILTER (WHERE d.status = 'sent') AS sent,
       count(*) FILTER (WHERE d.status = 'hard_bounce') AS hard_bounced,
       count(*) FILTER (WHERE d.status = 'soft_bounce') AS soft_bounced,
       count(*) FILTER (WHERE d.status = 'rejected') AS rejected,
       count(*) FILTER (WHERE d.status = 'cancelled') AS cancelled,
       CASE WHEN count(*) FILTER (WHERE d.status IN ('creating', 'spooled', 'deferred', 'held')) > 0 THEN 'in_progress'
            WHEN count(*) FILTER (WHERE d.status = 'sent') = count(*) THEN 'sent'
            WHEN count(*) FILTER (WHERE d.status = 'sent') > 0 THEN 'partial'
            ELSE 'failed' END AS status
  FROM messages AS m
  JOIN deliveries AS d ON d.queue_id = m.queue_id
 WHERE m.origin = 'application'
 GROUP BY m.queue_id;

CREATE OR REPLACE VIEW attempts AS                 -- one row per try at a delivery
SELECT a.queue_id, d.recipient, a.attempt,
       utc(a.started_at) AS attempted_at,
       a.outcome, a.mx_host, a.mx_ip, a.source_ip, a.tls, a.smtp_code, a.dsn, a.reply, a.in_reply_to,
       a.ms_dns, a.ms_connect, a.ms_tls, a.ms_data, a.attempt_id AS transcript_ref,
       a.reason_class, a.mx_port, a.ms_queue, a.transcript, a.started_at AS attempted_ts
  FROM tries AS a
  LEFT JOIN deliveries AS d ON d.queue_id = a.queue_id AND d.number = a.number;

CREATE OR REPLACE VIEW events AS                   -- what happened, in order: what is new is WHERE event_id > the last one seen
SELECT e.event_id,
       utc(e.at) AS at,
       e.event, e.queue_id, d.recipient, e.actor,
       CASE WHEN e.event IN ('opened', 'clicked', 'unsubscribed', 'resubscribed') THEN e.detail::jsonb->>'ip' END AS ip,
       CASE WHEN e.event IN ('opened', 'clicked') THEN e.detail::jsonb->>'class' END AS agent_class,
       e.detail, e.at AS ts
  FROM happenings AS e
  LEFT JOIN deliveries AS d ON d.queue_id = e.queue_id AND d.number = e.number;

CREATE OR REPLACE VIEW boxes AS                -- ours: what status_counts and status_sums say, the marks taken apart
SELECT hour, tag, credential, sender_domain, split_part(status, ' ', 1) AS status, deliveries, bytes,
       status LIKE '% trackable%' AS trackable, status LIKE '% opened%' AS opened, status LIKE '% auto%' AS auto,
       status LIKE '% clicked%' AS clicked, status LIKE '% unsubscribed%' AS unsubscribed, status LIKE '% spam%' AS spam
  FROM (SELECT * FROM status_sums UNION ALL SELECT * FROM status_counts) AS counted;

CREATE OR REPLACE VIEW daily_stats AS              -- the boxes by day received; they add up to requests
SELECT left(utc(hour * 3600.0), 10) AS day, tag, credential, sender_domain,
       coalesce(sum(deliveries) FILTER (WHERE status <> 'link_clicks'), 0)::bigint AS requests,
       coalesce(sum(deliveries) FILTER (WHERE trackable), 0)::integer AS trackable,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent'), 0)::bigint AS delivered,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND opened), 0)::integer AS opened,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND NOT opened), 0)::integer AS unopened,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND auto), 0)::integer AS opened_only_auto,
       coalesce(sum(deliveries) FILTER (WHERE status = 'hard_bounce'), 0)::bigint AS hard_bounced,
       coalesce(sum(deliveries) FILTER (WHERE status = 'soft_bounce'), 0)::bigint AS soft_bounced,
       coalesce(sum(deliveries) FILTER (WHERE spam), 0)::integer AS spam,
       coalesce(sum(deliveries) FILTER (WHERE status = 'rejected'), 0)::bigint AS dropped,
       coalesce(sum(deliveries) FILTER (WHERE status = 'deferred'), 0)::bigint AS deferred,
       coalesce(sum(deliveries) FILTER (WHERE status IN ('creating', 'spooled', 'held')), 0)::bigint AS in_progress,
       coalesce(sum(deliveries) FILTER (WHERE status = 'cancelled'), 0)::bigint AS cancelled,
       coalesce(sum(deliveries) FILTER (WHERE clicked), 0)::integer AS clicked,
       coalesce(sum(deliveries) FILTER (WHERE status = 'link_clicks'), 0)::integer AS links_clicked,
       coalesce(sum(deliveries) FILTER (WHERE unsubscribed), 0)::integer AS unsubscribed,
       sum(bytes)::bigint AS bytes
  FROM boxes
 GROUP BY 1, 2, 3, 4
HAVING sum(deliveries) FILTER (WHERE status <> 'link_clicks') <> 0;

CREATE OR REPLACE VIEW hourly_stats AS             -- the same by hour received
SELECT left(utc(hour * 3600.0), 19) || 'Z' AS hour, tag, credential, sender_domain,
       coalesce(sum(deliveries) FILTER (WHERE status <> 'link_clicks'), 0)::bigint AS requests,
       coalesce(sum(deliveries) FILTER (WHERE trackable), 0)::integer AS trackable,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent'), 0)::bigint AS delivered,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND opened), 0)::integer AS opened,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND NOT opened), 0)::integer AS unopened,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent' AND trackable AND auto), 0)::integer AS opened_only_auto,
       coalesce(sum(deliveries) FILTER (WHERE status = 'hard_bounce'), 0)::bigint AS hard_bounced,
       coalesce(sum(deliveries) FILTER (WHERE status = 'soft_bounce'), 0)::bigint AS soft_bounced,
       coalesce(sum(deliveries) FILTER (WHERE spam), 0)::integer AS spam,
       coalesce(sum(deliveries) FILTER (WHERE status = 'rejected'), 0)::bigint AS dropped,
       coalesce(sum(deliveries) FILTER (WHERE status = 'deferred'), 0)::bigint AS deferred,
       coalesce(sum(deliveries) FILTER (WHERE status IN ('creating', 'spooled', 'held')), 0)::bigint AS in_progress,
       coalesce(sum(deliveries) FILTER (WHERE status = 'cancelled'), 0)::bigint AS cancelled,
       coalesce(sum(deliveries) FILTER (WHERE clicked), 0)::integer AS clicked,
       coalesce(sum(deliveries) FILTER (WHERE status = 'link_clicks'), 0)::integer AS links_clicked,
       coalesce(sum(deliveries) FILTER (WHERE unsubscribed), 0)::integer AS unsubscribed,
       sum(bytes)::bigint AS bytes,
       boxes.hour * 3600 AS hour_ts
  FROM boxes
 GROUP BY boxes.hour, 2, 3, 4
HAVING sum(deliveries) FILTER (WHERE status <> 'link_clicks') <> 0;

CREATE OR REPLACE VIEW domain_stats AS             -- what became of mail of the last 30 days, by recipient domain
SELECT destination AS recipient_domain,
       coalesce(sum(deliveries) FILTER (WHERE status <> 'spam'), 0)::bigint AS requests,
       coalesce(sum(deliveries) FILTER (WHERE status = 'sent'), 0)::bigint AS delivered,
       coalesce(sum(deliveries) FILTER (WHERE status = 'hard_bounce'), 0)::bigint AS hard_bounced,
       coalesce(sum(deliveries) FILTER (WHERE status = 'soft_bounce'), 0)::bigint AS soft_bounced,
       coalesce(sum(deliveries) FILTER (WHERE status = 'deferred'), 0)::bigint AS deferred_now,
       coalesce(sum(deliveries) FILTER (WHERE status = 'rejected'), 0)::bigint AS dropped,
       coalesce(sum(deliveries) FILTER (WHERE status = 'spam'), 0)::integer AS spam,
       round(100.0 * coalesce(sum(deliveries) FILTER (WHERE status = 'sent'), 0)
             / sum(deliveries) FILTER (WHERE status <> 'spam'), 1)::float8 AS delivered_pct,
       round(sum(delay_sum)::numeric / nullif(sum(deliveries) FILTER (WHERE status = 'sent'), 0), 3)::float8 AS avg_delay_s,
       round(max(delay_max)::numeric, 3)::float8 AS max_delay_s,
       utc(max(last_at)) AS last_activity_at
  FROM (SELECT * FROM domain_sums UNION ALL SELECT * FROM domain_counts) AS boxes
 WHERE day >= floor(extract(epoch FROM now()) / 86400) - 30
 GROUP BY destination
HAVING sum(deliveries) FILTER (WHERE status <> 'spam') <> 0;

CREATE OR REPLACE VIEW bounce_reasons AS           -- why mail bounced, by day of the bounce
SELECT left(utc(d.status_at), 10) AS day, d.reason_class, d.smtp_code, d.dsn, d.destination AS recipient_domain,
       count(*) AS recipients, min(d.reason) AS sample_reason, min(d.queue_id) AS sample_queue_id
  FROM deliveries AS d
  JOIN messages AS m ON m.queue_id = d.queue_id
 WHERE d.status IN ('hard_bounce', 'soft_bounce')
   AND m.origin = 'application'
 GROUP BY 1, 2, 3, 4, 5;

CREATE OR REPLACE VIEW queue_now AS                -- one row per delivery that is not decided yet, our notices too
SELECT d.queue_id, d.queue_id || '.' || d.number AS recipient_id, d.recipient, d.destination AS recipient_domain, d.status,
       round(extract(epoch FROM now()) - m.received_at::numeric, 1)::float8 AS age_s,
       d.attempts,
       utc(d.due_at) AS next_attempt_at,
       round(d.due_at::numeric - extract(epoch FROM now()), 1)::float8 AS next_in_s,
       d.held_reason, d.reason_class, d.smtp_code, d.dsn, d.reason, m.sender, m.size, m.origin
  FROM (SELECT * FROM deliveries WHERE due_at IS NOT NULL
        UNION ALL
        SELECT * FROM deliveries WHERE status = 'held') AS d
  JOIN messages AS m ON m.queue_id = d.queue_id;

CREATE OR REPLACE VIEW queue_shape AS              -- how old what waits is, by recipient domain; t5 is younger than 5 minutes, as in qshape
SELECT recipient_domain, count(*) AS total,
       count(*) FILTER (WHERE age_s >= 0 AND age_s < 300) AS t5,
       count(*) FILTER (WHERE age_s >= 300 AND age_s < 600) AS t10,
       count(*) FILTER (WHERE age_s >= 600 AND age_s < 1200) AS t20,
       count(*) FILTER (WHERE age_s >= 1200 AND age_s < 2400) AS t40,
       count(*) FILTER (WHERE age_s >= 2400 AND age_s < 4800) AS t80,
       count(*) FILTER (WHERE age_s >= 4800 AND age_s < 9600) AS t160,
       count(*) FILTER (WHERE age_s >= 9600 AND age_s < 19200) AS t320,
       count(*) FILTER (WHERE age_s >= 19200 AND age_s < 38400) AS t640,
       count(*) FILTER (WHERE age_s >= 38400 AND age_s < 76800) AS t1280,
       count(*) FILTER (WHERE age_s >= 76800 ) AS t1280_plus
  FROM queue_now
 GROUP BY recipient_domain
 ORDER BY total DESC;

CREATE OR REPLACE VIEW refused AS                  -- what was refused at SMTP time
SELECT ref, utc(at) AS at, client_ip, credential, stage, smtp_code, dsn, rule, text, mail_from, rcpt_to, at AS ts
  FROM refusals;

CREATE OR REPLACE VIEW suppressions AS         -- who is not mailed, and why; those that have expired too
SELECT address, scope, reason, source, utc(added_at) AS added_at, utc(expires_at) AS expires_at,
       nullif(queue_id, '') AS cause_queue_id, nullif(note, '') AS note, nullif(reply, '') AS reply,
       added_at AS added_ts, expires_at AS expires_ts
  FROM suppression_list;

CREATE OR REPLACE VIEW link_stats AS           -- one row per link of a message that was followed, by whomever
SELECT queue_id, link, target AS url,
       count(DISTINCT number) FILTER (WHERE made_by = 'person') AS people,
       count(*) FILTER (WHERE made_by = 'person') AS clicks,
       count(*) FILTER (WHERE made_by = 'machine') AS auto_clicks,
       utc(min(at) FILTER (WHERE made_by = 'person')) AS first_click_at,
       utc(max(at) FILTER (WHERE made_by = 'person')) AS last_click_at
  FROM visits
 WHERE kind = 'click' AND link > 0
 GROUP BY queue_id, link, target;

CREATE OR REPLACE VIEW relay_info AS               -- facts about this database
SELECT name, value FROM meta;
