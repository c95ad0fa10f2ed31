"""The admin pages of these models are in `config.admin.pages`.

They show what several apps know, and imports go one way, so no app could register them itself.
"""
