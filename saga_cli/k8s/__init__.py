"""The system on Kubernetes: what charts and operators are given, made from the declarations."""
