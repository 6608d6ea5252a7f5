"""`batch-os adopt`: write a program that declares an account's pools, or check which pools no program declares.

``proposal`` chooses the resource that fits a pool, ``program_text`` writes the program, ``declared_pools`` reads what
programs declare (``run_program`` runs one without an engine), and ``refusals`` lists what an `up` would refuse.
"""
