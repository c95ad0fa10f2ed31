"""The pages of the admin, one module a page."""
