"""Receiving: SamCart's POST is kept, with its wake-up, before it is answered."""
