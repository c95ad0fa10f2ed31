"""Undoing what one step did to rules, and the way back."""
