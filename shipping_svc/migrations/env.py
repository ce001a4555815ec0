from chassis.postgres.upgrading import run_environment
from shipping_svc import tables

run_environment(tables.METADATA)
