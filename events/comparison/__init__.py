"""Comparison: what Thinkific shows of a site, beside what the ledger says."""
