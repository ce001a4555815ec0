"""The vocabulary that five services share: events, values, and their form on the wire."""
