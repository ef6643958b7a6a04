"""Programs for other runtimes: TensorFlow elsewhere, ONNX, LiteRT."""

import contextlib
import contextvars

from keras_detr.ops.backends.interface import Backend


class PortableBackend(Backend):
    """Compute with few plain operations, none of them compiled and none with its own gradient."""

    def custom_gradient(self, function):
        """Return the function without its gradients."""
        return lambda *tensors: function(*tensors)[0]


_BACKEND = contextvars.ContextVar("portable_backend", default=None)


@contextlib.contextmanager
def portable_programs():
    """Trace programs, while this context lasts, of operations that other runtimes have too."""
    token = _BACKEND.set(PortableBackend())
    try:
        yield
    finally:
        _BACKEND.reset(token)


def portable_backend():
    """Return the backend of `portable_programs`, `None` outside of them."""
    return _BACKEND.get()
