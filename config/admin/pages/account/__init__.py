"""What a person sets for oneself: language, second factor, sessions."""
