"""Deciding: stored deliveries are read, and the rules decide what runs."""
