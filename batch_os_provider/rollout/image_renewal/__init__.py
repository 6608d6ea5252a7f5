"""The renewal of a VM pool's nodes: add new nodes, prove them, and let old nodes finish their tasks and leave.

``decide`` is the table and ``surge`` its cycle. ``steps`` are their actions as values; ``renewal`` carries them out.
"""
