"""SQLite as Django's own, but for how its writers wait for each other."""
