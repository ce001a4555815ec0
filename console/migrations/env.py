from chassis.postgres.upgrading import run_environment
from console import tables

run_environment(tables.METADATA)
