"""Faults on purpose: `manage.py up` is killed, stopped and starved, and must lose nothing.

`python -m tests.faults` prints what each fault cost; `checker` says what counts as lost or as
done twice.
"""
