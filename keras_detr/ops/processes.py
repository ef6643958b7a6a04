"""What the processes of one training do together, or leave to the first of them."""

import contextlib
import functools
import pickle

from keras_detr.ops.backends import current


def is_first_process():
    """Return whether this process is the one that writes files, prints and downloads."""
    return current().process().index == 0


def by_first_process(write):
    """Let a function or method that writes files do so in the first process, and nothing elsewhere.

    Other processes get `None` at once; they don't wait until the files are there.
    """

    @functools.wraps(write)
    def call(*args, **kwargs):
        if not is_first_process():
            return None
        with current().alone():
            return write(*args, **kwargs)

    return call


def verbose_of_process(verbose):
    """Return how much a process shows of its progress: what was asked for, or elsewhere nothing."""
    return verbose if is_first_process() else 0


def gather(value):
    """Return what each process passes, in their order; all of them must call this.

    Args:
        value: what can be pickled, such as a dict of NumPy arrays.

    Returns:
        list, the same in every process.
    """
    if current().process().count == 1:
        return [value]
    return [pickle.loads(data) for data in current().gather_bytes(pickle.dumps(value))]


@contextlib.contextmanager
def naming_process():
    """Add to an error in the block which process it is of, and what to do, if there are several."""
    try:
        yield
    except Exception as error:
        process = current().process()
        if process.count > 1:
            error.add_note(
                f"This was process {process.index} of {process.count}, counted from 0. If the "
                "error speaks of a connection or of a heartbeat, another one stopped first, and "
                "its own messages say why. Start all of them again: with "
                "`keras.callbacks.BackupAndRestore` the training goes on from the last backup."
            )
        raise


@contextlib.contextmanager
def first_process_first():
    """Let the first process run the block before the others do; all of them must come here.

    If it fails in the first process, it fails in all: the others would wait for each other later.
    """
    process = current().process()
    if process.count == 1:
        yield
        return
    if process.index:
        _raise_if_failed(gather(None)[0])
        yield
        return
    error = "it was interrupted"
    try:
        yield
        error = None
    except BaseException as caught:
        error = repr(caught)
        raise
    finally:
        gather(error)


@contextlib.contextmanager
def failing_together():
    """Run a block in all processes; all of them must come here.

    If it fails in one, it fails in all, once they are through: the others would wait for that one
    later.
    """
    error = "it was interrupted"
    try:
        yield
        error = None
    except BaseException as caught:
        error = repr(caught)
        raise
    finally:
        errors = gather(error)
    check_outcomes(errors)


def check_outcomes(errors):
    """Raise a RuntimeError if a process has failed.

    Args:
        errors: sequence of str, one for each process, `None` where there is no error.
    """
    for index, error in enumerate(errors):
        if error is not None:
            raise RuntimeError(f"Process {index} has failed here, so this one stops too: {error}")


def _raise_if_failed(error):
    if error is not None:
        raise RuntimeError(f"The first process has failed here, so this one stops too: {error}")
