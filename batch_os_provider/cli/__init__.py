"""The command `batch-os`: what people and pipelines need beside `pulumi`.

It lists the pools before a program declares them, turns previews into a comment, and finds out why a pipeline may not
do what a laptop may. Only `probe` writes to Batch, to a pool that it makes and deletes.
"""
