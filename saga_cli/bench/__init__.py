"""What the whole costs, and how it behaves under load: measured on real servers, fsync on."""
