"""The guarantees by name, as one judge that the operators' check and the simulation share."""
