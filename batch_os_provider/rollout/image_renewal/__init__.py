"""The renewal of a VM pool's nodes: add new nodes, prove them, let old ones finish their tasks and go.

``decide`` is the table and ``surge`` its cycle. ``steps`` are their actions as values; ``renewal`` acts.
"""
