"""`saga`: brings the system up, shows it work, and takes it down."""
