"""`batch-os probe`: ask a real account what no document says about VM pools.

It writes, unlike the other subcommands, and only to a pool that it makes and deletes: ``throwaway_pool`` sends the
calls and refuses to write to any other pool. ``questions`` asks, ``command`` reads the options and cleans up.
"""
