"""What a Python that lives for seconds needs; Python imports this at its start when the folder is on PYTHONPATH.

A `pulumi` starts two of them. Each spends a tenth of its processor time on garbage collections: while it imports, and
once more at its end.
"""

import atexit
import gc

gc.set_threshold(100_000)
atexit.register(gc.freeze)
