"""What operators ask of the services, and do to an order that needs help."""
