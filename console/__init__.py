"""The operator's console: a passive reader of the log with a database of its own, and pages over it.

`console/` folds the log and answers questions about it; `console/web/` shows the answers. No service
depends on either, and neither publishes anything.
"""
