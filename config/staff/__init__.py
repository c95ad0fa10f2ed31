"""The people who sign in: roles, accounts and the limit on tries of passwords."""
