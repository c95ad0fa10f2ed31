"""Buyers who have access by a rule, or by what it gave before it was changed: pages and words."""
