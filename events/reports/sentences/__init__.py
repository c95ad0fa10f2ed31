"""Sentences that say why a student has access or has not, and what to do next."""
