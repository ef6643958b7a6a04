"""Training that goes on after an interruption."""
