"""The connection to the Pulumi engine and to the user's program.

In the plugin's process, ``seams`` extends the SDK's dynamic server, ``diagnostics`` writes lines on a resource's row,
``foreign_calls`` recognises calls of other packages, ``refresh`` distinguishes a refresh from a preview, and
``pulumi_process`` finds the CLI above the plugin. In the user's program run ``arguments``,
``parallel_hint`` and ``program_end``.
"""
