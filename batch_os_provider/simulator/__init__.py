"""The Azure Batch data plane on loopback: what the provider is proven against.

Why it exists: ``upgradeos`` has no pools left to run on in Azure, so the only way to see a rollout whole
(nodes leaving one by one, tasks going back to the queue, answers lost half way) is a service that keeps
state. It speaks HTTP as the recorded service did, keeps time on a virtual clock, and takes everything that
nobody has recorded from a table of switches (:mod:`.unknowns`) in place of a hidden guess. Pools of virtual machines
live in it as well: images whose ``latest`` moves with the clock, and every way in which a resize disappoints.

How to read it, from the inside out:

* the world, pure and synchronous: :mod:`.model` (data), :mod:`.stages` (durations), :mod:`.world` (the event
  heap), :mod:`.pools`, :mod:`.poolstates`, :mod:`.resizes`, :mod:`.upgrades`, :mod:`.nodes`, :mod:`.tasks`
  (lifecycles), :mod:`.clock`, :mod:`.audit`, :mod:`.unknowns`, :mod:`.version_catalogue` (Guest OS versions),
  :mod:`.images` (of virtual machines), :mod:`.errors`;
* its JSON: :mod:`.state`, :mod:`.scripts`, :mod:`.reading` and :mod:`.checker` (in), :mod:`.dumping` (out),
  :mod:`.versions`, :mod:`.shapes` and :mod:`.hiding` (what an api-version shows), :mod:`.schemas` (what it accepts);
* the wire: :mod:`.operations` (which request is which operation), :mod:`.dataplane` (the order of checks),
  :mod:`.request`, :mod:`.handlers`, :mod:`.odata`, :mod:`.auth`, :mod:`.faults`, :mod:`.wire` (bytes);
* around it: :mod:`.control` (``/_simulator``), :mod:`.app`, :mod:`.server`, :mod:`.cli`.

It is not Azure: nothing here proves what the real service does beyond the recordings it replays.
"""
