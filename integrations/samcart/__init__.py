"""What SamCart sends, read into plain values."""
