"""Sharing the database: prepared statements, waiting with a limit, and leaving it to others."""
