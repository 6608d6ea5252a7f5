"""`batch-os doctor`: what this machine and an account lack for a preview or an `up`.

``machine_checks`` checks versions, files and the seams to the engine, ``account_checks`` an account, from its address
to its rights; ``plugin_check`` starts the provider as Pulumi does.
"""
