from chassis.postgres.upgrading import run_environment
from order_svc import tables

run_environment(tables.METADATA)
