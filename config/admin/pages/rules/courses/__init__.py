"""Courses and bundles: their list, and what replaces one that is gone."""
