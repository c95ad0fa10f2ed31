"""Rules, what they gave, and what is left over when they change."""
