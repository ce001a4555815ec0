"""The mechanism every service stands on: consume, decide, commit, relay, retry. It names no event."""
