"""Secrets of a pool: kept, and never shown again.

A client that reads a pool, changes one thing and writes the whole back loses what it was not shown.
The simulator loses it the same way, so what is secret is stored with the rest and taken out of every answer (the
state itself shows it: it is a seed).
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
    """A pool as shown, without its secrets."""
    return {name: _without_secrets(value) if name in _HOLDERS else value for name, value in pool.items()}
