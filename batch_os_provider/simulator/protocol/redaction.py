"""Removes the secrets of a pool from answers.

A client that reads a pool, changes one property and writes the whole pool back loses the secrets, since Batch does not
return them. The simulator behaves the same: it stores secrets and removes them from every answer. The state has them,
since it is a seed.
"""

from __future__ import annotations

from typing import Any, Final

_SECRET: Final = frozenset({"protectedSettings", "password", "accountKey", "sasKey", "sshPrivateKey"})
_HOLDERS: Final = ("virtualMachineConfiguration", "startTask", "userAccounts", "mountConfiguration")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(part) for name, part in value.items() if name not in _SECRET}
    return [_without_secrets(part) for part in value] if isinstance(value, list) else value


def redact(pool: dict[str, Any]) -> dict[str, Any]:
    """A pool as Batch returns it, without its secrets."""
    return {name: _without_secrets(value) if name in _HOLDERS else value for name, value in pool.items()}
