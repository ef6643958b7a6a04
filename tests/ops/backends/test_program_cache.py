"""Compiled programs are kept, but not for ever."""

import concurrent.futures
import gc
import weakref

import numpy as np
from keras import ops

from keras_detr.ops.backends import current
from keras_detr.ops.backends.program_cache import ProgramCache


def test_those_used_last_are_kept():
    cache, built = ProgramCache(capacity=3), []

    def get(key):
        return cache.get(key, lambda: built.append(key) or f"program {key}")

    assert [get(key) for key in "abc"] == ["program a", "program b", "program c"]
    get("a")
    get("d")
    assert len(cache) == 3
    built.clear()
    for key in "acd":
        get(key)
    assert built == []
    get("b")
    assert built == ["b"]


def test_threads_share_it():
    cache = ProgramCache(capacity=2)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        keys = [number % 5 for number in range(4000)]
        found = threads.map(lambda key: cache.get(key, lambda: f"program {key}"), keys)
        assert list(found) == [f"program {key}" for key in keys]
    assert len(cache) == 2


def test_programs_that_are_dropped_leave_memory():
    class Program:
        pass

    cache, seen = ProgramCache(capacity=5), []
    for size in range(200):
        seen.append(weakref.ref(cache.get(size, Program)))
    gc.collect()
    assert sum(program() is not None for program in seen) == 5


def test_a_service_that_meets_200_sizes_keeps_few_programs():
    backend = current()
    scale, offset = ops.ones(4), ops.zeros(4)
    for size in range(1, 201):
        tokens = np.random.default_rng(size).normal(size=(size, 4)).astype("float32")
        normal = backend.layer_norm(ops.convert_to_tensor(tokens), scale, offset, 1e-5)
        assert np.abs(ops.convert_to_numpy(normal).mean(axis=-1)).max() < 1e-5
    # Backends that compile nothing here keep none.
    programs = getattr(backend, "_programs", ())
    assert len(programs) <= 128
