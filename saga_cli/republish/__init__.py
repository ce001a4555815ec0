"""saga republish: what a broker has lost of what it had acknowledged, put back from what was kept."""
