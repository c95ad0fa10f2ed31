"""People who may sign in, their roles, and what each of them changed."""
