"""A small Hub on 127.0.0.1 that speaks to the real huggingface_hub client, and can misbehave.

As on the real Hub, small files come from the Hub itself, tagged with their Git hash; weights are
redirected to another server (another port here), tagged with their SHA-256.
"""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# The package needs NumPy only; importing keras_detr itself would import Keras, which takes seconds.
_CLIENT = """
import importlib.util, json, sys, types
package = types.ModuleType("keras_detr")
package.__path__ = importlib.util.find_spec("keras_detr").submodule_search_locations
sys.modules["keras_detr"] = package
from keras_detr import checkpoints
try:
    answer = {"value": eval(sys.argv[1], vars(checkpoints))}
except Exception as error:
    answer = {"error": [kind.__name__ for kind in type(error).__mro__], "message": str(error)}
print(json.dumps(answer))
"""


class HubServer:
    """Serve files, and record what was asked for.

    Attributes:
        files: dict of (repository, file name) to bytes.
        gated: set of repositories that ask for consent.
        cut_after: optional int, break the connection off after so many bytes, `cuts` times.
        is_failing_after_cut: bool, whether the last cut leaves the server of the weights failing.
        is_flipping: bool, whether to damage weights without changing their size.
        is_failing: bool, whether the server of the weights answers with an error.
        commit: str, the commit of the main branch.
        log: list of (method, path, value of the Range header).
    """

    def __init__(self):
        self.files = {}
        self.gated = set()
        self.cut_after = None
        self.cuts = 0
        self.is_failing_after_cut = False
        self.is_flipping = False
        self.is_failing = False
        self.commit = COMMIT
        self.log = []
        self._servers = []
        for handle in (self._answer_hub, self._answer_storage):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, handle))
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self._servers.append(server)
        self.endpoint, self._storage = (
            f"http://127.0.0.1:{server.server_port}" for server in self._servers
        )

    def close(self):
        """Stop serving: from now on connections are refused."""
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def _answer_hub(self, request):
        """Answer /owner/name/resolve/revision/file."""
        repo, _, rest = request.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        if repo not in {known for known, _ in self.files}:
            return refuse(request, 404, "RepoNotFound")
        if repo in self.gated:
            return refuse(request, 403, "GatedRepo")
        if revision not in ("main", self.commit):
            return refuse(request, 404, "RevisionNotFound")
        content = self.files.get((repo, name))
        if content is None:
            return refuse(request, 404, "EntryNotFound")
        if name.endswith((".json", ".md")):
            tag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return send(request, 200, content, {"ETag": f'"{tag}"'})
        digest = hashlib.sha256(content).hexdigest()
        headers = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        headers["Location"] = f"{self._storage}/{digest}"
        return send(request, 302, b"", headers)

    def _answer_storage(self, request):
        """Answer /sha256, whole or from an offset, with the misbehaviour that is asked for."""
        by_digest = {hashlib.sha256(c).hexdigest(): (n, c) for (_, n), c in self.files.items()}
        name, content = by_digest[request.path.lstrip("/")]
        if self.is_failing:
            return refuse(request, 500, "Broken")
        if self.is_flipping:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"Content-Disposition": f'attachment; filename="{name}";'}
        status, start = 200, 0
        if "Range" in request.headers:
            start = int(request.headers["Range"].removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status = 206
        limit = None
        if self.cuts:
            self.cuts -= 1
            limit = self.cut_after
            self.is_failing = self.is_failing_after_cut and not self.cuts
        return send(request, status, content[start:], headers, limit)


def _handler(hub, handle):
    """Make the class of request handlers of one server."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_of_hub = hub

        def do_GET(self):
            hub.log.append((self.command, self.path, self.headers.get("Range")))
            handle(self)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *args):
            pass

    return Handler


def refuse(request, status, code):
    """Send an error as the Hub does, with a code that says what is missing."""
    send(request, status, b"", {"X-Error-Code": code, "X-Error-Message": code})


def send(request, status, content, headers, limit=None):
    """Send a response; with a limit break off after so many bytes of it."""
    request.send_response(status)
    headers = {"X-Repo-Commit": request.server_of_hub.commit, "Accept-Ranges": "bytes", **headers}
    for name, value in {**headers, "Content-Length": str(len(content))}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content[:limit])
    if limit is not None:
        request.close_connection = True


def run_client(expression, *, endpoint, home, is_offline=False, has_links=True):
    """Evaluate an expression over `keras_detr.checkpoints` in a fresh process.

    huggingface_hub reads its environment when it is imported, hence the process.

    Args:
        expression: str, its value must be JSON.
        endpoint: str, address of the Hub.
        home: path, its cache.
        is_offline: bool, whether HF_HUB_OFFLINE is set.
        has_links: bool, whether the cache is made of symbolic links, as it isn't on Windows.

    Returns:
        dict with "value", or with "error" (names of the exception's classes) and "message"; and
        "progress", what went to the standard error.
    """
    unwanted = ("HF_", "HUGGING", "TRANSFORMERS_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(unwanted)}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": str(int(is_offline)),
        "HF_HUB_DISABLE_SYMLINKS": str(int(not has_links)),
        "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "TQDM_POSITION": "-1",  # shows the progress bar without a terminal
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CLIENT, expression],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    return {**json.loads(process.stdout), "progress": process.stderr}
