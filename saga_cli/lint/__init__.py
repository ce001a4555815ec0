"""What is wrong with a choreography, from its declarations alone."""
