"""Guest OS versions of Cloud Services pools: their grammar, and the catalogue of Microsoft's releases.

The provider and the simulator share only the grammar and the plural forms.
"""
