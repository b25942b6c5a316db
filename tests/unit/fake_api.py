"""A test double: a local HTTP server that plays the few paths of the Kubernetes API which the node modules use.

It is no API server: it knows nodes' labels and ConfigMaps, merge patches and applies, and the faults a test orders
from it. Behaviour against a real API server is tested with the lab.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect

Answer = tuple[int, dict[str, str], Any]


def status(code: int, reason: str, message: str, **more: Any) -> Any:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
            "message": message, **more}  # fmt: skip


class FakeApi:
    """The double.

    ``objects``  path → object
    ``faults``   answers to give first; ("drop", 0) closes the connection, ("hang", s) does so after s seconds
    ``log``      method, path and body of each request; ``most_busy`` is how many were there at once
    """

    def __init__(self, serve: bool = True) -> None:
        self.objects: dict[str, Any] = {}
        self.faults: list[Any] = []
        self.log: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.busy = self.most_busy = 0
        self.meet: threading.Barrier | None = None  # patches wait here until so many are at work at once
        self.lock = threading.Lock()
        self.versions: list[
            dict[str, str]
        ] = []  # what each list of a collection saw, by which a watch tells what is new
        if serve:
            self._serve()

    def _serve(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def nodes(self, labels: dict[str, dict[str, str]]) -> None:
        for name, found in labels.items():
            self.objects[f"/api/v1/nodes/{name}"] = {"metadata": {"name": name, "labels": dict(found)}}

    def labels(self, node: str) -> dict[str, str]:
        return self.objects[f"/api/v1/nodes/{node}"]["metadata"]["labels"]

    def methods(self) -> list[str]:
        return [method for method, _path, _body in self.log]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, target: str, body: Any) -> Answer:
        path = urlsplit(target).path
        query = parse_qs(urlsplit(target).query)
        if method == "GET" and path.endswith("s"):  # a collection, e.g. /api/v1/nodes
            return self._list(path, query)
        if method == "POST":
            path += "/" + body["metadata"]["name"]
            self.objects[path] = body
        found = self.objects.get(path)
        if method == "PATCH" and (found is not None or "force" in query):
            self.objects[path] = merged(found or {}, body)
            return 200, {}, self.objects[path]
        if method == "DELETE" and found is not None:
            return 200, {}, self.objects.pop(path)
        if found is None:
            return 404, {}, status(404, "NotFound", f"{path} not found")
        return 200, {}, found

    def _list(self, path: str, query: dict[str, list[str]]) -> Answer:
        items = [found for key, found in sorted(self.objects.items()) if key.startswith(path + "/")]
        if "watch" in query:
            return 200, {}, self._events(items, self.versions[int(query["resourceVersion"][0])])
        self.versions.append({item["metadata"]["name"]: json.dumps(item) for item in items})
        start, limit = int(query.get("continue", ["0"])[0]), int(query.get("limit", ["0"])[0])
        page = items[start : start + limit] if limit else items
        more = {"continue": str(start + limit)} if limit and start + limit < len(items) else {}
        return 200, {}, {"metadata": {**more, "resourceVersion": str(len(self.versions) - 1)}, "items": page}

    def _events(self, items: list[Any], seen: dict[str, str]) -> bytes:
        """As a watch tells them: a line each, and at the end the version from which to go on (kubernetes.io, API Concepts)."""
        now = {item["metadata"]["name"]: json.dumps(item) for item in items}
        self.versions.append(now)
        version = str(len(self.versions) - 1)
        told = [("MODIFIED" if name in seen else "ADDED", text) for name, text in now.items() if seen.get(name) != text]
        told += [("DELETED", text) for name, text in seen.items() if name not in now]
        events = [
            {"type": kind, "object": json.loads(text)} for kind, text in [*told, ("BOOKMARK", '{"metadata": {}}')]
        ]
        for event in events:
            event["object"]["metadata"]["resourceVersion"] = version
        return b"".join(json.dumps(event).encode() + b"\n" for event in events)

    def _handler(fake) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - 'self' is the handler's below
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: Any) -> None:
                """Be silent."""

            def serve(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                with fake.lock:
                    fake.log.append((self.command, self.path, body))
                    fake.headers.append(dict(self.headers))
                    fake.busy += 1
                    fake.most_busy = max(fake.most_busy, fake.busy)
                    fault = fake.faults.pop(0) if fake.faults else None
                if fake.meet and self.command == "PATCH":
                    fake.meet.wait(timeout=20)
                with fake.lock:
                    answer = fault or fake.answer(self.command, self.path, body)
                    fake.busy -= 1
                if answer[0] == "drop":
                    self.close_connection = True
                    return
                if answer[0] == "hang":
                    time.sleep(answer[1])
                    self.close_connection = True
                    return
                code, headers, document = answer
                data = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(code)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PATCH = do_POST = do_DELETE = serve  # noqa: N815

        return Handler


def merged(found: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Ended(Exception):  # noqa: N818 - how a module ends, not an error
    pass


def player(module: ModuleType, fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """A function that runs the module's ``main`` against ``fake``, without pauses, and gives back its result."""
    ended: dict[str, Any] = {}

    def end(_module: Any, **result: Any) -> None:
        ended.clear()
        ended.update(json.loads(json.dumps(result)))
        raise Ended

    def fail(_module: Any, msg: str, **more: Any) -> None:
        end(_module, failed=True, msg=msg, **more)

    def play(check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"host": fake.url, "api_key": "t", "_ansible_check_mode": check, **options}
        with patch_module_args(arguments), pytest.raises(Ended):
            module.main()
        return dict(ended)

    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.exit_json", end)
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.fail_json", fail)
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    monkeypatch.setattr(kube_connect.Retry, "pause_s", lambda *_args: 0.0)
    return play
