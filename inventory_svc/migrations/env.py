from chassis.postgres.upgrading import run_environment
from inventory_svc import tables

run_environment(tables.METADATA)
