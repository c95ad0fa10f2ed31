"""Rules, what they gave, and what is left when they change."""
