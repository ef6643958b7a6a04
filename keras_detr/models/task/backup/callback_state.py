"""The state of the callbacks of `fit`: the best value so far, for example, and its epoch.

A user's callback returns its state from `get_training_state()`, a dict of JSON values and NumPy
arrays, and gets it back in `set_training_state(state)`. The state of Keras' own callbacks is in
the public attributes that are listed here.
"""

import collections

import keras

_STATE_ATTRIBUTES = {
    keras.callbacks.EarlyStopping: ("best", "best_epoch", "best_weights", "stopped_epoch", "wait"),
    keras.callbacks.History: ("epoch", "history"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
}


def callback_states(callbacks):
    """Return the states of callbacks, dicts by names that are the same in another run."""
    states = {name: _state(callback) for name, callback in _named(callbacks)}
    return {name: state for name, state in states.items() if state}


def restore_callback_states(callbacks, states):
    """Restore what `callback_states` returned; states of callbacks that are gone are ignored."""
    for name, callback in _named(callbacks):
        if name not in states:
            continue
        if hasattr(callback, "set_training_state"):
            callback.set_training_state(states[name])
        else:
            for attribute, value in states[name].items():
                setattr(callback, attribute, value)


def has_stopped(callbacks, states):
    """Return whether one of the callbacks had stopped the training, and would do so again."""
    return any(
        isinstance(callback, keras.callbacks.EarlyStopping)
        and states.get(name, {}).get("stopped_epoch", 0) > 0
        and states[name]["wait"] >= callback.patience
        for name, callback in _named(callbacks)
    )


def _state(callback):
    if hasattr(callback, "get_training_state"):
        return callback.get_training_state()
    return {
        name: getattr(callback, name)
        for kind, names in _STATE_ATTRIBUTES.items()
        if isinstance(callback, kind)
        for name in names
        if hasattr(callback, name)
    }


def _named(callbacks):
    """Yield (name, callback), with a number for callbacks of the same kind."""
    numbers = collections.Counter()
    for callback in callbacks:
        name = f"{type(callback).__name__} {getattr(callback, 'monitor', '')}".rstrip()
        numbers[name] += 1
        yield f"{name} {numbers[name]}", callback
