"""`batch-os doctor`: what this machine and an account lack for a preview or an `up`.

``machine_checks`` checks versions, files and the seams to the engine. ``native_checks`` checks the provider ``batchos``
and its config, and ``account_checks`` an account, from its address to its rights. ``plugin_check`` and
``native_plugin`` start the two providers as Pulumi does.
"""
