"""Environment variables that let XLA compile quickly the thousands of programs that run once."""

# XLA transforms programs as ever; LLVM, which makes machine code of them, doesn't optimize it.
XLA_FLAGS = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
    )
)


def without_quick_compilation(environment):
    """Return the variables of a process whose programs are compiled as a user's are."""
    return {name: value for name, value in environment.items() if name != "XLA_FLAGS"}


def kept_programs(folder):
    """Return the variables that let JAX keep its programs in a folder, for other processes."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
