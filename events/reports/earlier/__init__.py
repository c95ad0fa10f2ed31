"""What running rules for earlier events would do, and for whom."""
