"""Who may do what on Kafka, derived from the services' declarations: shown, and applied to a cluster."""
