"""One process of a service: its settings, its log, its fast paths, its upkeep, and how it runs and stops.

Its modules are its surface: settings are read by packages that the runtime stands on.
"""

__all__ = [
    "access",
    "fast_paths",
    "kafka_settings",
    "logs",
    "program",
    "retention",
    "runtime",
    "settings",
]
