"""How the machine works: the queue, the workers, the calls, and what SamCart has sent."""
