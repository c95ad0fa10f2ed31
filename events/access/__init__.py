"""Access: the ledger of who holds which course through what, and what is due because of it."""
