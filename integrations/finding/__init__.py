"""Find and order rows by what people type."""
