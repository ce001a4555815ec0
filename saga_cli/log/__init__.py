"""The topics as one log, wherever their records are kept."""
