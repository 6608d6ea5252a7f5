"""What a program may declare and what it gets back: inputs, outputs, units and the arithmetic of waves.

Pure: it is judged without a network, before anything is touched.
"""
