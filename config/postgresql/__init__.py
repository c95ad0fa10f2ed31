"""PostgreSQL as Django's own, but for how long a caller waits for it."""
