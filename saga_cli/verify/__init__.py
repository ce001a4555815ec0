"""What is rebuilt from the log, held against what is live; and old decisions, made once more."""
