#!/bin/sh
# Four databases, each with a role that owns it; no role can even connect to another's database.
# The image runs this once, on an empty data directory.
set -eu

create() { # database role password
    psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres \
        -v database="$1" -v role="$2" -v password="$3" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role";
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
SQL
}

create order_db order_svc "$ORDER_DB_PASSWORD"
create inventory_db inventory_svc "$INVENTORY_DB_PASSWORD"
create payment_db payment_svc "$PAYMENT_DB_PASSWORD"
create shipping_db shipping_svc "$SHIPPING_DB_PASSWORD"
