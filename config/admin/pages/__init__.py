"""The pages of the admin, one module a page, in a folder for each subject."""
