"""The names of the programs that are compared, as they stand in the results and on the page."""

OURS, PEER, AS_IS, NO_OP = "ours", "widened peer", "peer as is", "no-op"
NATIVE, YAML = "native, from Python", "native, from YAML"
"""The native provider; ``OURS`` is the dynamic one."""
