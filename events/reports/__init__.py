"""Reports: what pages and commands ask. Reads only."""
