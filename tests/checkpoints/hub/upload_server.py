"""A small Hub that takes uploads too, as the client makes them without Xet: through Git LFS."""

import base64
import hashlib
import json

from .hub_server import HubServer, refuse, send

WRITING, READING, UNKNOWN = "hf_writing", "hf_reading", "hf_unknown"


class UploadServer(HubServer):
    """Serve files, and take new ones for the owner "owner".

    Attributes:
        private: dict of repository to whether it was asked to be private, of those created here.
        failures: dict of a step ("create", "tree", "card", "preupload", "batch", "storage",
            "commit") to the HTTP status that it answers with, or `None` to break the connection.
        commits: list of (repository, message, names of files).
    """

    def __init__(self):
        self.private = {}
        self.failures = {}
        self.commits = []
        self._stored = {}
        super().__init__()

    def _answer_hub(self, request):
        path = request.path.split("?")[0].lstrip("/")
        if path == "api/repos/create":
            self._step(request, "create", self._create)
        elif path == "api/validate-yaml":
            self._step(request, "card", self._validate_card)
        elif path.endswith(".git/info/lfs/objects/batch"):
            self._step(request, "batch", self._batch)
        elif path.startswith("api/models/"):
            owner, name, *rest = path.removeprefix("api/models/").split("/")
            repository = f"{owner}/{name}"
            if repository not in {*self.private, *(known for known, _ in self.files)}:
                refuse(request, 404, "RepoNotFound")
            elif not rest:
                send_json(request, 200, {"id": repository, "sha": self.commit})
            elif rest[1] not in ("main", self.commit):
                refuse(request, 404, "RevisionNotFound")
            else:
                kind, _ = rest
                answers = {"tree": self._tree, "preupload": self._preupload, "commit": self._commit}
                self._step(request, kind, lambda body: answers[kind](body, repository))
        else:
            super()._answer_hub(request)

    def _answer_storage(self, request):
        if request.command == "PUT":
            self._step(request, "storage", lambda body: self._store(request, body), is_free=True)
        else:
            super()._answer_storage(request)

    def _step(self, request, step, answer, is_free=False):
        """Answer a step of an upload: read its body, check its token, and fail if asked to."""
        body = body_of(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if step in self.failures:
            status = self.failures[step]
            if status is None:
                request.close_connection = True
                request.connection.close()
            else:
                refuse(request, status, "")
        elif not is_free and token not in (WRITING, READING):
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            send(request, 401, b"{}", headers)
        elif not is_free and token == READING and step != "tree":
            send(request, 403, b'{"error": "no"}', {"X-Error-Message": "You may not write here"})
        else:
            status, content = answer(body)
            send(
                request, status, json.dumps(content).encode(), {"Content-Type": "application/json"}
            )

    def _create(self, body):
        asked = json.loads(body)
        repository = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "owner":
            return 403, {"error": "not your name"}
        known = repository in {*self.private, *(known for known, _ in self.files)}
        self.private.setdefault(repository, asked.get("visibility") == "private")
        return (409 if known else 200), {"url": f"{self.endpoint}/{repository}"}

    def _validate_card(self, body):
        content = json.loads(body)["content"]
        if "license: unknown" in content:
            return 400, {"errors": [{"message": '"license" must be one of [mit]'}], "warnings": []}
        return 200, {"errors": [], "warnings": []}

    def _tree(self, body, repository):
        files = [
            (name, content) for (known, name), content in self.files.items() if known == repository
        ]
        return 200, [
            {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
            for name, content in files
        ]

    def _preupload(self, body, repository):
        def describe(file):
            mode = "lfs" if file["path"].endswith((".h5", ".safetensors")) else "regular"
            content = self.files.get((repository, file["path"]))
            # The Hub tells which files it has already.
            has_tag = content is not None and mode == "regular"
            tag = {"oid": git_hash(content)} if has_tag else {}
            return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **tag}

        return 200, {"files": [describe(file) for file in json.loads(body)["files"]]}

    def _batch(self, body):
        def action(wanted):
            address = {"href": f"{self._storage}/{wanted['oid']}"}
            return {**wanted, "actions": {"upload": address}}

        return 200, {"objects": [action(wanted) for wanted in json.loads(body)["objects"]]}

    def _store(self, request, body):
        digest = request.path.lstrip("/")
        if hashlib.sha256(body).hexdigest() != digest:
            return 400, {}
        self._stored[digest] = body
        return 200, {}

    def _commit(self, body, repository):
        header, *changes = [json.loads(line) for line in body.splitlines()]
        for change in changes:
            value = change["value"]
            if change["key"] == "file":
                content = base64.b64decode(value["content"])
            else:
                content = self._stored[value["oid"]]
                assert (change["key"], len(content)) == ("lfsFile", value["size"])
            self.files[repository, value["path"]] = content
        names = sorted(change["value"]["path"] for change in changes)
        self.commits.append((repository, header["value"]["summary"], names))
        self.commit = hashlib.sha1(body).hexdigest()
        address = f"{self.endpoint}/{repository}/commit/{self.commit}"
        return 200, {"commitUrl": address, "commitOid": self.commit}


def send_json(request, status, content):
    """Send an answer as JSON."""
    send(request, status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def git_hash(content):
    """Return Git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def body_of(request):
    """Read the body of a request, which may come in chunks."""
    if request.headers.get("Transfer-Encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body
