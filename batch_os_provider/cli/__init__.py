"""The command `batch-os`: what people and pipelines ask of Batch pools beside `pulumi`.

Somebody has to see which pools there are before a program declares them, to read a preview
without Pulumi's colours, and to find out why a pipeline may not do what a laptop may. None of it writes to Batch.
"""
