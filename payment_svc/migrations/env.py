from chassis.postgres.upgrading import run_environment
from payment_svc import tables

run_environment(tables.METADATA)
