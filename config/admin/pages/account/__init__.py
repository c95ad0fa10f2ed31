"""The signed-in person's own settings: language, second factor, sessions."""
