"""The simulated account itself: pools, nodes, tasks and images, and what happens to them on a virtual clock.

Pure and synchronous: no HTTP, no threads. ``model`` is the data, ``world`` the event heap, and each lifecycle has a
module of its own. ``unknowns`` lists what nobody has recorded of Batch, as switches.
"""
