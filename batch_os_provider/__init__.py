"""Declare the OS version of Azure Batch pools in Pulumi programs.

``PoolOsVersion`` is the resource; the README shows it in a program, ARCHITECTURE.md shows how
one `pulumi up` flows through the rooms of this package.
"""

from batch_os_provider.resource import PoolOsVersion

__all__ = ["PoolOsVersion"]
