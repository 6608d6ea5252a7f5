"""A simulator of the Azure Batch data plane on loopback; the provider is tested against it.

Azure has no pools left on which ``upgradeos`` runs. A test of a whole rollout needs a service with state: nodes leave
one by one, tasks go back to the queue, answers are lost. The simulator speaks HTTP as the recorded service did, on a
virtual clock. Behaviour of Batch that was never recorded is a switch in ``world.unknowns``, not a hidden guess. It has
VM pools too, with images whose ``latest`` moves with the clock, and with resizes that fail.

Read the packages from the outside in. A request comes through ``server`` and ``app`` into one of them:

* ``data_plane``: the request, its checks, its handler;
* ``control``: ``/_simulator``, which tests and people use;
* ``identity``: tokens;
* ``faults``: failures that a test asks for.

They work on ``world``, the simulated account. ``state`` reads and writes it as JSON. ``protocol`` has the operations
and shapes of each API version. ``cli`` is the command.

The simulator is not Azure: it proves nothing about the real service beyond the recordings that it replays.
"""
