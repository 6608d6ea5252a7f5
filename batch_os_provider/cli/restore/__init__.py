"""`batch-os restore`: put a VM pool back to what the marker of an unfinished rollout says. It shows both, and asks.

``command`` follows the table of `up` on its way back.
"""
