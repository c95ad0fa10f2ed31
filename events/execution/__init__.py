"""Execution: runs are claimed, carried out, retried and repeated."""
