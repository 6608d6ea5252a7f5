"""What a long wait needs: cancellation and clock, threads beside the caller, pauses, and the debug log.

It knows no pool and no Batch.
"""
