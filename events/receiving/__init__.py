"""Receiving: SamCart's POST is stored, with its wake-up, before it is answered."""
