"""One request to the Batch data plane, from its bytes to its answer.

``data_plane`` runs the checks in Batch's order, ``auth`` verifies signatures and tokens, ``handlers`` lists the
operations, ``odata`` and ``filters`` read the query. ``exchange`` writes an answer to its connection, or breaks it.
"""
