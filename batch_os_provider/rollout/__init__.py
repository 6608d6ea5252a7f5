"""The loop that brings one pool to its target, and the two kinds of rollout that run in it.

``loop`` observes, decides, acts once and waits. ``os_upgrade`` is for Cloud Services pools, ``image_renewal`` for VM
pools. Each has a pure table (``decide``) and a rollout that follows this table. ``progress`` writes the lines for
people.
"""
