#!/bin/sh
# For each X_DB_PASSWORD in the environment: the database x_db, with the role x_svc that owns it.
# No role can even connect to another's database. The image runs this once, on an empty data directory.
set -eu

create() { # database role password
    psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres \
        -v database="$1" -v role="$2" -v password="$3" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"role";
REVOKE CONNECT ON DATABASE :"database" FROM PUBLIC;
SQL
}

for variable in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*_DB_PASSWORD\)=.*/\1/p' | sort); do
    service=$(echo "${variable%_DB_PASSWORD}" | tr '[:upper:]' '[:lower:]')
    create "${service}_db" "${service}_svc" "$(printenv "$variable")"
done
