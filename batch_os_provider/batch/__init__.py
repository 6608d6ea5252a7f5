"""Everything that speaks to Azure Batch, and what is read from it.

``client`` knows paths and bodies and ``connection`` sends them; ``pool`` and ``vm_pool`` are what comes back, as frozen
values. ``shared_poller`` lets all pools of an account that wait share one list. Only this folder imports azure.
"""
