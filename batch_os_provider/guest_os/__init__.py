"""Guest OS versions of Cloud Services pools: their grammar, and the catalogue of what Microsoft released.

The simulator shares the grammar with the provider, and nothing else.
"""
