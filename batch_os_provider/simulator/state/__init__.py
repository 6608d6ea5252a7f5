"""The JSON of a whole account: read, checked and written again.

``load`` (with ``load_pools`` and ``load_jobs``) reads a seed or a state file, and ``dump`` writes one. ``consistency``
refuses an account that cannot exist, so that a test never starts from an impossible state.
"""
