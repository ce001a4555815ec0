"""The statements of the PostgreSQL store: one a table and batch, rows as arrays; `together` sends them."""

IS_BEING_REBUILT = "SELECT to_regclass('replay_progress') IS NOT NULL"
KNOWS_ANYTHING = """
SELECT EXISTS (SELECT FROM {own}) OR EXISTS (SELECT FROM inbox) OR EXISTS (SELECT FROM outbox)
"""
KNOWN = """
SELECT (SELECT array_agg(message_id) FROM inbox WHERE message_id = ANY($1::uuid[])),
       (SELECT array_agg(DISTINCT key) FROM parked WHERE key = ANY($2::text[]))
"""
PARKED = "SELECT FROM parked WHERE key = ANY($1::text[])"
ENTER = """
INSERT INTO inbox (message_id) SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id
ON CONFLICT DO NOTHING RETURNING 1
"""
# of one shard, as the releases that read by it have written
WRITE_OUTBOX = """
INSERT INTO outbox (shard, topic, key, value, headers)
SELECT 0, topic, key, value, headers
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
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
OWE_EFFECTS = """
INSERT INTO effects (id, key, kind, body, traceparent, due_at, tries)
SELECT id, key, kind, body, traceparent, coalesce(due_at, now() + tries * $8::interval), tries
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::timestamptz[], $7::smallint[]
) AS new (id, key, kind, body, traceparent, due_at, tries)
ON CONFLICT (id) DO NOTHING RETURNING 1
"""
FINISH = "DELETE FROM effects WHERE id = ANY($1::text[]) RETURNING 1"
PARK = """
INSERT INTO parked (key, topic, partition, record_offset, record_key, value, headers, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id
"""
ANSWERED = """
SELECT scope, key, fingerprint, response FROM idempotency_keys
WHERE (scope, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
ANSWER = """
INSERT INTO idempotency_keys (scope, key, fingerprint, response)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
ON CONFLICT DO NOTHING RETURNING 1
"""
TELL = """
INSERT INTO timeline (order_id, at, heard, said)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[]) RETURNING 1
"""
# MATERIALIZED: a plan may run a subquery with LIMIT once a row, and lease all there is
LEASE_EFFECTS = """
WITH due AS MATERIALIZED (
    SELECT id FROM effects WHERE due_at <= now() AND kind = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM outbox WHERE outbox.key = effects.key AND outbox.topic <> $4)
    ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
UPDATE effects SET due_at = now() + $3, tries = least(tries + 1, 32000)
WHERE id IN (SELECT id FROM due)
RETURNING id, key, kind, body, traceparent, due_at, tries, owed_since, last_error
"""
LEASE_FRESHEST = LEASE_EFFECTS.replace("ORDER BY due_at", "ORDER BY tries, due_at DESC")
GAUGES = (
    "outbox_rows",
    "outbox_oldest_seconds",
    "effects_owed",
    "effects_needing_attention",
    "parked_messages",
    "outbox_refused",
)
BACKLOG = """
SELECT (SELECT count(*) FROM outbox),
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox),
       (SELECT count(*) FROM effects WHERE kind = ANY($1::text[])),
       (SELECT count(*) FROM effects WHERE kind = ANY($1::text[])
           AND (tries >= $2 OR id NOT LIKE '%:1' OR starts_with(last_error, $3))),
       (SELECT count(*) FROM parked),
       (SELECT count(*) FROM outbox WHERE refused IS NOT NULL),
       current_setting('transaction_read_only')::bool AS is_read_only
"""
NOTE = """
INSERT INTO operator_actions (by, action, key, note, detail) VALUES ($1, $2, $3, $4, $5)
"""
SKIPPED = "SELECT DISTINCT key FROM operator_actions WHERE action = $1"
LETTERS = """
SELECT id, key, topic, partition, record_offset, record_key, value, headers,
       reason, last_reason, attempts, parked_at, last_tried_at
FROM parked WHERE key = $1 ORDER BY id
"""
FAILED_AGAIN = """
UPDATE parked SET attempts = attempts + 1, last_reason = $2, last_tried_at = now() WHERE id = $1
"""
OUTBOX_OF = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8,
       coalesce((array_agg(refused ORDER BY id) FILTER (WHERE refused IS NOT NULL))[1], '')
FROM outbox WHERE key = $1
"""
OWED_OF = """
SELECT id, key, kind, body, traceparent, due_at, tries, owed_since, last_error
FROM effects WHERE key = $1 ORDER BY owed_since, id COLLATE "C"
"""
