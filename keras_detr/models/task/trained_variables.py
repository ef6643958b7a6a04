"""The variables that an optimizer trains: those of its first step, until `compile` is called."""

from keras_detr.ops.backends import current


def build_optimizer(model):
    """Create the optimizer's variables, which takes far longer inside of a traced step.

    Args:
        model: a detector; one that isn't compiled, or has no optimizer, stays as it is.

    Raises:
        ValueError: layers were frozen or unfrozen since the optimizer was built.
    """
    if not model.compiled or model.optimizer is None:
        return
    if not model.optimizer.built:
        with current().strategy_scope(model):
            model.optimizer.build(model.trainable_variables)
        model._untracked.trained_paths = None
    paths = {variable.path for variable in model.trainable_variables}
    trained_paths = model._untracked.trained_paths or paths
    if paths != trained_paths:
        changed = sorted(paths ^ trained_paths)
        raise ValueError(
            "`trainable` of layers has changed since the optimizer's first step, and it trains "
            f"the variables of then: {len(changed)} others now, such as {changed[0]!r}. Call "
            "`compile()` again after freezing or unfreezing layers."
        )
    model._untracked.trained_paths = paths
