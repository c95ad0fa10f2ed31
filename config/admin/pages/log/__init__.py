"""What came in and what was done about it: events and actions."""
