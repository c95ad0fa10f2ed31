"""Customers: the page of one, the list of all, and the letter."""
