"""Wake-ups: the signals that travel through django-q2, and how workers hear of them."""
