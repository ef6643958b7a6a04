"""Scripts in a process of their own: huggingface_hub reads its environment when it is imported."""

import json
import os
import pathlib
import subprocess
import sys


def run_with_hub(script, home, **variables):
    """Run a script, and return what its last line says in JSON.

    Args:
        script: str. It sets HF_ENDPOINT before it imports keras_detr.
        home: path of the folder in which the Hub's client keeps its cache.
        **variables: str, of the environment.
    """
    root = pathlib.Path(__file__).parents[3]
    unwanted = ("HF_", "HUGGING", "TRANSFORMERS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    path = [str(root), environment.get("PYTHONPATH", "")]
    environment |= {
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": os.pathsep.join(part for part in path if part),
        **variables,
    }
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return json.loads(process.stdout.splitlines()[-1])
