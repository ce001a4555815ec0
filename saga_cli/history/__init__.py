"""What happened, told from the log alone."""
