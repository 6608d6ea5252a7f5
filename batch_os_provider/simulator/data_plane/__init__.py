"""One request to the Batch data plane, from its bytes to its answer.

``data_plane`` keeps the order of Batch's checks, ``auth`` the signatures, ``handlers`` the operations, and ``odata``
with ``filters`` the query. ``exchange`` is the connection that carries an answer, or breaks.
"""
