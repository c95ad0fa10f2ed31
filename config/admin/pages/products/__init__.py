"""Products, what each gives, and setting up many at once."""
