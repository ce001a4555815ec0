"""A service's store filled again from what the service has published."""
