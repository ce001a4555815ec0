"""The process as the log shows it: edges, variants, and exports for tools that mine processes."""
