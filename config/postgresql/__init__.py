"""Django's PostgreSQL engine with a limit on how long a caller waits."""
