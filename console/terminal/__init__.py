"""`saga top`: the map and the failure groups of the console, in a terminal."""
