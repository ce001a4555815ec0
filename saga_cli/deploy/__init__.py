"""Whether a version of one service may go out into what runs."""
