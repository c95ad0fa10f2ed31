"""Retention: what is removed, when, and in which steps."""
