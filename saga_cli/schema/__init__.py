"""The vocabulary as JSON Schema, and whether two of its versions understand each other."""
