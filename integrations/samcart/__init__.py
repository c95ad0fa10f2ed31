"""Read what SamCart sends into plain values."""
