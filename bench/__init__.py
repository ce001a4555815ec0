"""What the system is measured by."""
