"""`batch-os comment`: the previews of all stacks as one comment on a pull request, and a gate on it.

A file of `pulumi preview --json` goes through ``preview_file`` (reads it), ``digest`` (makes the ``rows``),
``markdown`` (the comment) and ``fail_on`` (what stops the pull request).
"""
