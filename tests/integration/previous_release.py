"""What release 0.1.0 says to PostgreSQL, word for word: never edited, replaced by the next release's.

While a release is rolled out, its predecessor goes on running on the schema that it has migrated.
"""

from typing import Final

ENTER: Final = """
WITH entered AS (
    INSERT INTO inbox (message_id) SELECT id FROM unnest($1::uuid[]) AS id ORDER BY id
    ON CONFLICT DO NOTHING RETURNING message_id
)
SELECT (SELECT array_agg(message_id) FROM entered),
       (SELECT array_agg(DISTINCT key) FROM parked WHERE key = ANY($2::text[]))
"""
FORGET: Final = "DELETE FROM inbox WHERE message_id = ANY($1::uuid[])"
WRITE_OUTBOX: Final = """
INSERT INTO outbox (shard, topic, key, value, headers)
SELECT shard, topic, key, value, headers
FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])
    WITH ORDINALITY AS new (shard, topic, key, value, headers, nth)
ORDER BY nth
"""
PENDING: Final = (
    "SELECT id, topic, key, value, headers FROM outbox WHERE shard = $1 ORDER BY id LIMIT $2"
)
ACKNOWLEDGE: Final = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
OWE_EFFECTS: Final = """
INSERT INTO effects (id, key, kind, body, traceparent)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
ON CONFLICT (id) DO NOTHING
"""
LEASE_EFFECTS: Final = """
UPDATE effects SET due_at = now() + $2, tries = tries + 1
WHERE id IN (
    SELECT id FROM effects WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING id, key, kind, body, traceparent, tries
"""
POSTPONE: Final = "UPDATE effects SET due_at = now() + $2, last_error = $3 WHERE id = $1"
FINISH_EFFECTS: Final = "DELETE FROM effects WHERE id = ANY($1::text[])"
PARK: Final = """
INSERT INTO parked (key, topic, partition, record_offset, record_key, value, headers, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING id
"""
PARKED_KEYS: Final = "SELECT key FROM parked GROUP BY key ORDER BY min(id)"
FIRST_PARKED: Final = (
    "SELECT id, topic, partition, record_offset, record_key, value, headers"
    " FROM parked WHERE key = $1 ORDER BY id LIMIT 1 FOR UPDATE"
)
UNPARK: Final = "DELETE FROM parked WHERE id = $1"
ANSWERED: Final = """
SELECT scope, key, fingerprint, response FROM idempotency_keys
WHERE (scope, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""
ANSWER: Final = """
INSERT INTO idempotency_keys (scope, key, fingerprint, response)
SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])
ON CONFLICT DO NOTHING
"""
BACKLOG: Final = """
SELECT (SELECT count(*) FROM outbox),
       (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM outbox),
       (SELECT count(*) FROM effects), (SELECT count(*) FROM parked)
"""
INSERT_TIMELINE: Final = """
INSERT INTO timeline (order_id, at, heard, said)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[])
"""
TIMELINE: Final = "SELECT at, heard, said FROM timeline WHERE order_id = $1 ORDER BY id"
ORDERS_PAGE: Final = (
    "SELECT status, detail FROM orders WHERE order_id < $1"
    " AND ($2::text IS NULL OR customer_id = $2) ORDER BY order_id DESC LIMIT $3"
)
INSERT_ORDER: Final = """
INSERT INTO orders (order_id, version, status, detail, customer_id)
SELECT order_id, version, status, detail::jsonb, customer_id
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[])
    AS new (order_id, version, status, detail, customer_id)
ON CONFLICT (order_id) DO NOTHING
"""
UPDATE_ORDER: Final = """
UPDATE orders AS old SET version = new.version, status = new.status, detail = new.detail::jsonb,
    customer_id = new.customer_id
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::int[])
    AS new (order_id, version, status, detail, customer_id, was)
WHERE old.order_id = new.order_id AND old.version = new.was
"""
SELECT_STATE: Final = """
SELECT order_id, version, status, detail FROM {table} WHERE order_id = ANY($1::text[])
"""
INSERT_STATE: Final = """
INSERT INTO {table} (order_id, version, status, detail)
SELECT order_id, version, status, detail::jsonb
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[])
    AS new (order_id, version, status, detail)
ON CONFLICT (order_id) DO NOTHING
"""
UPDATE_STATE: Final = """
UPDATE {table} AS old SET version = new.version, status = new.status, detail = new.detail::jsonb
FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[])
    AS new (order_id, version, status, detail, was)
WHERE old.order_id = new.order_id AND old.version = new.was
"""
SELECT_PRODUCTS: Final = """
SELECT sku, name, price_minor, currency, revision FROM products
WHERE sku = ANY($1::text[]) ORDER BY sku
"""
UPSERT_PRODUCTS: Final = """
INSERT INTO products (sku, name, price_minor, currency, revision)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[])
ON CONFLICT (sku) DO UPDATE SET name = EXCLUDED.name, price_minor = EXCLUDED.price_minor,
    currency = EXCLUDED.currency, revision = EXCLUDED.revision
"""
SELECT_STOCK: Final = """
SELECT sku, available, reserved, committed, receipts FROM stock
WHERE sku = ANY($1::text[]) ORDER BY sku FOR UPDATE
"""
UPSERT_STOCK: Final = """
INSERT INTO stock (sku, available, reserved, committed, receipts)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
ON CONFLICT (sku) DO UPDATE SET available = EXCLUDED.available, reserved = EXCLUDED.reserved,
    committed = EXCLUDED.committed, receipts = EXCLUDED.receipts
"""
UPSERT_DETAILS: Final = """
INSERT INTO delivery_details (order_id, name, street, city, email) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (order_id) DO UPDATE
SET name = EXCLUDED.name, street = EXCLUDED.street, city = EXCLUDED.city, email = EXCLUDED.email
"""
ERASE_DETAILS: Final = "DELETE FROM delivery_details WHERE order_id = $1"
