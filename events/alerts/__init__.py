"""What is wrong now, and the messages about it to the people who want them."""
