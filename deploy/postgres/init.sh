#!/bin/sh
# For each X_DB_PASSWORD in the environment: the database x_db, which the role x_owner (X_DB_OWNER_PASSWORD) owns, and
# the role x_svc, which may read and write its rows. No other role can even connect to it; pg_hba.conf says so too.
# A password may be in the file that X_DB_PASSWORD_FILE names. The image runs this once, on an empty data directory.
set -eu

given() { # variable: what it says, or the file that variable_FILE names
    eval "text=\${${1}:-} file=\${${1}_FILE:-}"
    if [ -n "$file" ]; then
        text=$(cat "$file")
    fi
    export "$1=$text"
}

create() { # service prefix
    # psql reads the passwords from the environment: every user of the machine sees its arguments.
    psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres \
        -v database="${1}_db" -v owner="${1}_owner" -v role="${1}_svc" <<SQL
\\getenv owner_password ${2}_DB_OWNER_PASSWORD
\\getenv password ${2}_DB_PASSWORD
CREATE ROLE :"owner" LOGIN PASSWORD :'owner_password';
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"database" OWNER :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"role";
SQL
}

for variable in $(env | sed -nE 's/^([A-Z][A-Z0-9_]*_DB_PASSWORD)(_FILE)?=.*/\1/p' | sort -u); do
    prefix=${variable%_DB_PASSWORD}
    given "$variable"
    given "${prefix}_DB_OWNER_PASSWORD"
    service=$(echo "$prefix" | tr '[:upper:]' '[:lower:]')
    create "$service" "$prefix"
done
