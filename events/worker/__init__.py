"""The worker: its task, its scheduler and its heartbeat."""
