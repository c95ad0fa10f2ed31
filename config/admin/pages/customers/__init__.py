"""Customers, what is done for them by hand, and the letter to them."""
