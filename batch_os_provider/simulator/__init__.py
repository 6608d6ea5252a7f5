"""The Azure Batch data plane on loopback: what the provider is proven against.

``upgradeos`` has no pools left to run on in Azure. To see a whole rollout (nodes that leave one by one, tasks that go
back to the queue, answers that are lost) we need a service that keeps state. This one speaks HTTP as the recorded
service did and keeps time on a virtual clock. What nobody has recorded is a switch in ``world.unknowns``, not a hidden
guess. VM pools live in it too: images whose ``latest`` moves with the clock, and resizes that fail.

Read it from the outside in. A request comes through ``server`` and ``app`` into one of these packages:

* ``data_plane``: the request, its checks, its handler;
* ``control``: ``/_simulator``, which tests and people use;
* ``identity``: tokens;
* ``faults``: what goes wrong on purpose.

They work on ``world``, the account itself. ``state`` reads and writes it as JSON; ``protocol`` is what Batch's API
versions fix. ``cli`` starts it all.

It is not Azure: nothing here proves what the real service does beyond the recordings that it replays.
"""
