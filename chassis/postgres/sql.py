"""The statements of the PostgreSQL store. Rows are arrays, one a column.

Those of retention stand in retention.py; state_tables.py makes those on declared columns. Those with named
parameters, as `{ids}`, are clauses of one statement (see chassis/postgres/statement.py).
"""

IS_BEING_REBUILT = "SELECT to_regclass('replay_progress') IS NOT NULL"
LEAD = "SELECT pg_try_advisory_lock($1, $2)"
KNOWS_ANYTHING = """
SELECT EXISTS (SELECT FROM {own}) OR EXISTS (SELECT FROM inbox) OR EXISTS (SELECT FROM outbox)
"""
INBOX_AND_PARKED = """
SELECT (SELECT array_agg(message_id) FROM inbox WHERE message_id = ANY($1::uuid[])),
       (SELECT array_agg(DISTINCT key) FROM parked WHERE key = ANY($2::text[]))
"""
PARKED = "SELECT FROM parked WHERE key = ANY({keys}::text[])"
ENTER = """
INSERT INTO inbox (message_id) SELECT id FROM unnest({ids}::uuid[]) AS id ORDER BY id
ON CONFLICT DO NOTHING RETURNING 1
"""
ENTERED = "SELECT FROM inbox WHERE message_id = ANY({ids}::uuid[])"
# shard 0, by which release 0.1 reads: the column goes when no release that runs beside this one does
WRITE_OUTBOX = """
INSERT INTO outbox (shard, topic, key, value, headers)
SELECT 0, topic, key, value, headers
FROM unnest({topic}::text[], {key}::text[], {value}::bytea[], {headers}::bytea[])
    WITH ORDINALITY AS new (topic, key, value, headers, nth)
WHERE {after} ORDER BY nth RETURNING id
"""
PENDING = """
SELECT id, octet_length(headers) + coalesce(octet_length(value), 0) FROM outbox
WHERE shard = 0 AND topic <> ALL($2::text[]) ORDER BY id LIMIT $1
"""
# what is behind a refused row of its key waits for it; copies of dead letters, $3, have no order
PENDING_BESIDE_REFUSED = """
SELECT id, octet_length(headers) + coalesce(octet_length(value), 0) FROM outbox
WHERE shard = 0 AND topic <> ALL($2::text[]) AND refused IS NULL
AND (topic = $3 OR NOT EXISTS (
    SELECT FROM outbox AS head WHERE head.refused IS NOT NULL AND head.topic <> $3
    AND head.key = outbox.key AND head.id < outbox.id
)) ORDER BY id LIMIT $1
"""
ANY_REFUSED = "SELECT EXISTS (SELECT FROM outbox WHERE refused IS NOT NULL)"
REFUSE = """
UPDATE outbox SET refused = why, refused_at = now()
FROM unnest($1::bigint[], $2::text[]) AS new (number, why) WHERE id = number
"""
REFUSED = """
SELECT id, topic, key, value, headers, refused, refused_at,
       (SELECT count(*) FROM outbox AS later WHERE later.key = head.key AND later.id > head.id)
FROM outbox AS head WHERE refused IS NOT NULL AND ($1::bigint IS NULL OR id = $1) ORDER BY id LIMIT $2
"""
RELEASE = (
    "UPDATE outbox SET refused = NULL, refused_at = NULL WHERE id = $1 AND refused IS NOT NULL"
)
DROP = "DELETE FROM outbox WHERE id = $1 AND refused IS NOT NULL"
OUTBOX_ROWS = "SELECT id, topic, key, value, headers FROM outbox WHERE id = ANY($1::bigint[])"
ADD_EFFECTS = """
INSERT INTO effects (id, key, kind, body, traceparent, due_at, tries, attempt)
SELECT id, key, kind, body, traceparent, coalesce(due_at, now() + tries * {lease}::interval), tries,
       attempt
FROM unnest(
    {id}::text[], {key}::text[], {kind}::text[], {body}::bytea[], {traceparent}::text[],
    {due_at}::timestamptz[], {tries}::smallint[], {attempt}::smallint[]
) AS new (id, key, kind, body, traceparent, due_at, tries, attempt)
ON CONFLICT (id) DO NOTHING RETURNING 1
"""
FINISH = "DELETE FROM effects WHERE id = ANY({ids}::text[]) RETURNING 1"
PARK = """
INSERT INTO parked (key, topic, partition, record_offset, record_key, value, headers, reason)
SELECT * FROM unnest(
    {key}::text[], {topic}::text[], {partition}::bigint[], {offset}::bigint[],
    {record_key}::bytea[], {value}::bytea[], {headers}::bytea[], {reason}::text[]
) ON CONFLICT DO NOTHING RETURNING 1
"""
UNPARK = "DELETE FROM parked WHERE id = ANY({ids}::bigint[]) RETURNING 1"
FAILED_AGAIN = """
UPDATE parked SET attempts = attempts + 1, last_reason = reason_now, last_tried_at = now()
FROM unnest({ids}::bigint[], {reasons}::text[]) AS new (number, reason_now)
WHERE id = number RETURNING 1
"""
ANSWERED = """
SELECT scope, key, fingerprint, response FROM idempotency_keys
WHERE (scope, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
UNANSWERED = """
SELECT FROM idempotency_keys WHERE (scope, key) IN (SELECT * FROM unnest({scopes}::text[], {keys}::text[]))
"""
ANSWER = """
INSERT INTO idempotency_keys (scope, key, fingerprint, response)
SELECT * FROM unnest({scope}::text[], {key}::text[], {fingerprint}::bytea[], {response}::bytea[])
ON CONFLICT DO NOTHING RETURNING 1
"""
ADD_TO_JOURNAL = """
INSERT INTO {table} ({columns})
SELECT * FROM unnest({{key}}::text[], {{at}}::timestamptz[], {{cause}}::text[], {{published}}::text[])
RETURNING 1
"""
NOTE = """
INSERT INTO operator_actions (by, action, key, note, detail)
SELECT * FROM unnest({by}::text[], {action}::text[], {key}::text[], {note}::text[], {detail}::text[])
RETURNING 1
"""
ATTEMPT = "coalesce(attempt, substring(id FROM ':([0-9]{1,4})$')::smallint, 1)"
"""An effect's attempt; a row that release 0.1 wrote has it at the end of its id only."""
# MATERIALIZED: a plan may run a subquery with LIMIT once a row, and lease all there is
_LEASE = """
WITH due AS MATERIALIZED (
    SELECT id FROM effects WHERE due_at <= now() AND kind = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.key = effects.key AND outbox.topic <> $4)
    ORDER BY {by_age} LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE effects SET due_at = now() + $3, tries = least(tries + 1, 32000)
WHERE id IN (SELECT id FROM due)
RETURNING id, key, kind, body, traceparent, due_at, tries, owed_since, last_error, {attempt}
"""
LEASE_EFFECTS = _LEASE.format(by_age="due_at", attempt=ATTEMPT)
LEASE_FRESHEST = _LEASE.format(by_age="tries, due_at DESC", attempt=ATTEMPT)
BACKLOG = """
SELECT (SELECT count(*) FROM outbox) AS outbox_rows,
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox)
           AS outbox_oldest_s,
       (SELECT count(*) FROM outbox WHERE refused IS NOT NULL) AS outbox_refused,
       parked_messages, parked_keys,
       current_setting('transaction_read_only')::bool AS is_read_only
FROM (SELECT count(*) AS parked_messages, count(DISTINCT key) AS parked_keys FROM parked) AS parked
"""
EFFECTS_BACKLOG = f"""
SELECT kind, CASE WHEN tries >= $2 OR {ATTEMPT} > 1 OR starts_with(last_error, $3)
                  THEN 'needs_attention' WHEN tries > 1 THEN 'retried' ELSE 'first_try' END, count(*)
FROM effects WHERE kind = ANY($1::text[]) GROUP BY 1, 2
"""  # noqa: S608 - own text
POSTPONE = "UPDATE effects SET due_at = now() + $2, last_error = $3 WHERE id = $1"
EXPEDITE = "UPDATE effects SET due_at = now() WHERE key = $1 AND kind = ANY($2::text[])"
ACTIONS = """
SELECT at, by, action, key, note, detail FROM operator_actions WHERE key = $1 ORDER BY id
"""
PARKED_KEYS = "SELECT key FROM parked GROUP BY key ORDER BY min(id)"
DISCARD = "DELETE FROM parked WHERE id = $1"
SKIPPED = "SELECT DISTINCT key FROM operator_actions WHERE action = $1"
LETTERS = """
SELECT id, key, topic, partition, record_offset, record_key, value, headers,
       reason, last_reason, attempts, parked_at, last_tried_at
FROM parked WHERE key = $1 ORDER BY id
"""
OUTBOX_OF = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8,
       coalesce((array_agg(refused ORDER BY id) FILTER (WHERE refused IS NOT NULL))[1], '')
FROM outbox WHERE key = $1
"""
EFFECTS_OF = f"""
SELECT id, key, kind, body, traceparent, due_at, tries, owed_since, last_error, {ATTEMPT}
FROM effects WHERE key = $1 ORDER BY owed_since, id COLLATE "C"
"""  # noqa: S608 - own text
