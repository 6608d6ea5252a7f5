"""All calls to Azure Batch, and the values that they return.

``client`` knows paths and bodies, and ``connection`` sends them. ``pool`` and ``vm_pool`` are the answers, as frozen
values. ``shared_poller`` lets all waiting pools of an account share one list. Only this folder imports azure.
"""
