"""Deliberate faults: `manage.py up` is killed, stopped and starved, and must lose nothing.

`python -m tests.faults` prints the results of each fault; `checker` defines what counts as lost or
done twice.
"""
