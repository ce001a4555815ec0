"""Real servers and the services as processes of this user."""
