"""What operators ask of the five services, and do to an order that needs help."""
