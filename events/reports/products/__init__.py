"""Products: what each gives, what is missing, and what keeps one from being deleted."""
