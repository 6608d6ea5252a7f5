"""The Pulumi engine and the user's program: what the SDK leaves open, and what is said to people.

``seams`` opens the dynamic server, ``diagnostics`` speaks on a resource's row, and ``refresh`` tells a refresh from a
preview. ``arguments``, ``parallel_hint`` and ``program_end`` run in the user's program, the others in the plugin's
process.
"""
