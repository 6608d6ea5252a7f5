"""An environment from which batch_os_provider was uninstalled; Python imports this at its start, by PYTHONPATH."""

import sys
from importlib.machinery import ModuleSpec


class Uninstalled:
    """Finds nothing where the package was."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Refuse one package; another finder has the others."""
        if name.partition(".")[0] == "batch_os_provider":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Uninstalled)  # type: ignore[arg-type]  # Python asks it for find_spec only
