"""Integrations of every app, and the SamCart accounts whose events they act on."""
