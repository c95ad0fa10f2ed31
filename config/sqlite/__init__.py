"""SQLite by Django's own engine, but for how its writers wait for each other."""
