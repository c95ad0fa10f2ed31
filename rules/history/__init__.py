"""What the audit tells of rules that were changed or deleted, and how that is undone."""
