"""Customers, what a person does for them by hand, and the letter to them."""
