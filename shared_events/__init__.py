"""The vocabulary that the services share: events, values, and their form on the wire."""
