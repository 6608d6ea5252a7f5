"""Failures that a test asks for: faults of requests, corrupted answers, and other actors.

``rules`` selects the requests, ``effects`` checks the format of an effect, ``corrupt`` changes an answer (pure).
``actors`` runs the actions of other people and of the platform, which are in ``actor_actions``.
"""
