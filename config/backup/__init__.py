"""Backups: one file with the database and the spool, made while Admit runs, and its restore."""
