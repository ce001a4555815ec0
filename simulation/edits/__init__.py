"""Deliberate bugs in the real stores, put in as edits of their source."""
