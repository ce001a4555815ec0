"""Real servers and the five services as processes of this user."""
