"""`batch-os doctor`: what this machine and an account lack for a preview or an `up`.

``machine_checks`` looks at versions, files and the seams to the engine, ``account_checks`` at an account, from its name
to its rights; ``plugin_check`` starts the provider as Pulumi does.
"""
