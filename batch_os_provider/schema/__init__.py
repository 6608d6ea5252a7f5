"""What a program may declare and what it gets back: inputs, outputs, units and the arithmetic of waves.

All modules are pure: they need no network, so the provider can check a program before it does anything.
"""
