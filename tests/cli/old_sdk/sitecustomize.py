"""Makes Pulumi's SDK fail as before 3.224 if another thread than the main one imports it first.

Python imports this at its start when the folder is on PYTHONPATH.
"""

import sys
import threading


class OldSdk:
    """Refuses the module in which an old SDK asks for the loop of its thread."""

    def find_spec(self, name: str, *_: object) -> None:
        """Find nothing; raise where an old SDK would."""
        if name == "pulumi.runtime._callbacks" and threading.current_thread() is not threading.main_thread():
            raise RuntimeError("There is no current event loop in thread")


sys.meta_path.insert(0, OldSdk())  # type: ignore[arg-type]  # it needs no more of a finder
