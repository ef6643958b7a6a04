"""A bounded store of compiled programs."""

import collections
import threading


class ProgramCache:
    """Keep the programs that were used last, each under its key.

    A service that meets thousands of image sizes compiles for each, and must not keep them all.
    """

    def __init__(self, capacity=128):
        self.capacity = capacity
        self._programs = collections.OrderedDict()
        # Services predict in several threads.
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._programs)

    def get(self, key, build):
        """Return the program of a hashable key: what `build()` returns, if it isn't kept."""
        with self._lock:
            program = self._programs.get(key)
        if program is None:
            # Not under the lock: to build one may take seconds.
            program = build()
        with self._lock:
            self._programs[key] = program
            self._programs.move_to_end(key)
            if len(self._programs) > self.capacity:
                self._programs.popitem(last=False)
        return program
