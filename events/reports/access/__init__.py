"""What students have: the state of each course and bundle, and what gave it."""
