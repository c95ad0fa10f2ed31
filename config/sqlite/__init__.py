"""Connections for Django's SQLite engine, with a better way for writers to wait for each other."""
