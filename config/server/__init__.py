"""What `manage.py up` starts: web servers, the worker cluster and their supervisor."""
