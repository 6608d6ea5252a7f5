"""`batch-os adopt`: write a program that declares an account's pools, or check which pools no program declares.

``proposal`` chooses the resource that fits a pool, ``outline`` says what a program declares, and ``program_text`` and
``yaml_text`` write it in Python and YAML. ``declared_pools`` finds what programs declare: ``run_program`` runs one in
Python without an engine, ``yaml_program`` reads one in YAML (``project`` has the config of both). ``refusals`` lists
what an `up` would refuse.
"""
