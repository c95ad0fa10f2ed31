"""Empty: the admin pages of these models are in `config.admin.pages`.

They use several apps, and imports go one way, so this app cannot register them itself.
"""
