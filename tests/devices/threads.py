"""Threads that take themselves for the processes of one training, for what needs no backend."""

import threading
from concurrent.futures import ThreadPoolExecutor

from keras_detr.ops.backends import current
from keras_detr.ops.backends.interface import Process


def run_as_processes(function, count, monkeypatch):
    """Call a function in `count` threads, in which `current().process()` says which it is.

    Args:
        function: callable of an int, the process' index.
        count: int.
        monkeypatch: pytest's fixture.

    Returns:
        list of what the calls returned, an exception where one was raised.
    """
    local, barrier, slots = threading.local(), threading.Barrier(count, timeout=20), [b""] * count

    def gather_bytes(data):
        slots[local.index] = data
        barrier.wait()
        gathered = list(slots)
        # Nobody writes the next before all have read this.
        barrier.wait()
        return gathered

    def call(index):
        local.index = index
        try:
            return function(index)
        except Exception as error:
            return error

    with monkeypatch.context() as patch:
        patch.setattr(current(), "process", lambda: Process(local.index, count))
        patch.setattr(current(), "gather_bytes", gather_bytes)
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(call, range(count)))
