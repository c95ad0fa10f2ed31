"""What came and what was done about it: events and actions."""
