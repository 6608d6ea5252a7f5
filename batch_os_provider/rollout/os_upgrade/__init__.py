"""The upgrade of a Cloud Services pool by one POST, and the judgement of its nodes.

``decide`` is the table, ``upgrade`` follows it, and ``request_state`` is the state of the one write.
"""
