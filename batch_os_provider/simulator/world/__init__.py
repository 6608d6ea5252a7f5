"""The simulated account: pools, nodes, tasks and images, and their lifecycles on a virtual clock.

It is pure and synchronous, without HTTP or threads. ``model`` has the data, ``world`` the events, and each lifecycle
has its own module. ``unknowns`` has a switch for each behaviour of Batch that was never recorded.
"""
