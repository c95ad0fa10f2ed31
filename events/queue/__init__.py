"""Wake-ups: what travels through django-q2, and how the workers hear of it."""
