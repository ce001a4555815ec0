"""The production code of all services in one process, on simulated servers, from a seed."""
