"""The log kept outside of Kafka, for longer than Kafka keeps it."""
