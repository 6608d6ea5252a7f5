"""Tools for long waits: cancellation and clock, threads, retries, values per account, and the debug log.

Nothing here knows pools or Batch.
"""
