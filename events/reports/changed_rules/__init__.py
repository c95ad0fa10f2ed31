"""Whom it concerns that a rule was changed, turned off or deleted, or that none ended access."""
