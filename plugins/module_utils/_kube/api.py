# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send raw JSON requests to one API server: counted, retried, explained."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Callable, TypeVar
from urllib.parse import urlencode

from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import (
    ApiFault,
    owned_by_another,
    refused,
    status_of,
    unreachable,
)

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

FIELD_MANAGER = "t9k.gpu"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_METADATA = "application/json;as={};g=meta.k8s.io;v=v1,application/json"
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Retry:
    """How often and how long to try again."""

    attempts: int = 6
    first_pause_s: float = 0.25
    #: Nothing has answered yet: a wrong address should be reported soon, not after six attempts.
    attempts_before_first_answer: int = 2

    def pause_s(self, attempt: int, retry_after: str | None) -> float:
        """Return the pause before attempt ``attempt + 1``: what the server asks for, else doubled each time, with some chance in it."""
        if retry_after is not None and retry_after.strip().isdigit():
            return min(float(retry_after), _LONGEST_PAUSE_S)
        pause = min(self.first_pause_s * 2 ** (attempt - 1), _LONGEST_PAUSE_S)
        return pause * random.uniform(0.75, 1.25)


def _worth_retrying(method: str, status_code: int, body: bytes, sent: bytes | None) -> bool:
    if status_code in (429, 503):
        return True
    if method == "POST":  # it may have been done in spite of the answer
        return False
    if status_code == 409:
        if b'"resourceVersion"' in (sent or b""):
            return False
        status = status_of(body)
        return status.get("reason") == "Conflict" and not owned_by_another(status)
    return status_code in (500, 502, 504)


class Api:
    """One API server. Its methods may be called from several threads."""

    def __init__(
        self,
        pool: Any,
        server: str,
        headers: Callable[[], dict[str, str]],
        timeout_s: float = 30,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.server = server.rstrip("/")
        self.requests = 0
        self._pool, self._headers, self._timeout_s, self._sleep = pool, headers, timeout_s, sleep
        self._retry = retry or Retry()
        self._answered = False
        self._lock = threading.Lock()

    def get(self, path: str, query: dict[str, Any] | None = None, accept: str = "application/json") -> Any:
        return self._json("GET", path, query, accept=accept)

    def get_or_none(self, path: str) -> Any:
        """Return the object, or None if it (or its kind) does not exist."""
        try:
            return self.get(path)
        except ApiFault as fault:
            if fault.not_found:
                return None
            raise

    def snapshot(
        self,
        path: str,
        query: dict[str, Any] | None = None,
        limit: int | None = None,
        metadata_only: bool = False,
        each: Callable[[Any], dict[str, Any]] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Return what ``list`` returns, and the version as of which it is so; all pages are of one version."""
        accept = _METADATA.format("PartialObjectMetadataList") if metadata_only else "application/json"
        items: list[dict[str, Any]] = []
        asked = {**(query or {}), **({"limit": limit} if limit else {})}
        while True:
            page = self.get(path, asked, accept)
            found = page["items"] or []  # an empty list of some kinds is null
            items.extend(map(each, found) if each else found)
            token = page["metadata"].get("continue")
            if not token:
                return items, str(page["metadata"].get("resourceVersion") or "")
            asked = {**asked, "continue": token}

    def changes(self, path: str, version: str, seconds: int = 1) -> list[dict[str, Any]]:
        """Return the events below ``path`` since ``version``, and those of the next seconds: a watch that ends by itself."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": seconds,
            "allowWatchBookmarks": "true",
        }
        target = f"{path}?{urlencode(query)}"
        answer = self._answer("GET", target, None, {"Accept": "application/json"}, self._retry.attempts)
        return [json.loads(line) for line in answer.splitlines() if line]

    def list(
        self,
        path: str,
        query: dict[str, Any] | None = None,
        limit: int | None = None,
        metadata_only: bool = False,
        each: Callable[[Any], dict[str, Any]] | None = None,
    ) -> list[dict[str, Any]]:
        """Return all objects below ``path``: one request, or pages of ``limit``.

        ``metadata_only`` leaves spec and status with the server; a node's status is most of its size. ``each`` returns what to keep of
        an object, so that no more than a page of them is in memory as they came.
        """
        return self.snapshot(path, query, limit, metadata_only, each)[0]

    def merge_patch(self, path: str, body: dict[str, Any], metadata_only: bool = False) -> Any:
        """Change the fields in ``body``. With a ``resourceVersion`` in it, only the object as it was read: a conflict is then
        the answer, not something to try again."""
        accept = _METADATA.format("PartialObjectMetadata") if metadata_only else "application/json"
        return self._json("PATCH", path, {"fieldManager": FIELD_MANAGER}, body=body, content_type=MERGE, accept=accept)

    def apply(
        self,
        path: str,
        body: dict[str, Any],
        force: bool = True,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> Any:
        """Apply on the server's side: create the object or change the fields named in ``body``."""
        query = {"fieldManager": manager, "force": json.dumps(force), **({"dryRun": "All"} if dry_run else {})}
        return self._json("PATCH", path, query, body=body, content_type=APPLY)

    def create(self, path: str, body: dict[str, Any]) -> Any:
        return self._json("POST", path, {"fieldManager": FIELD_MANAGER}, body=body)

    def evict(self, namespace: str, name: str, body: dict[str, Any], dry_run: bool = False) -> Any:
        """Ask the Eviction API once: a budget's refusal (429) is for the caller, who knows until when to ask again."""
        query = {"fieldManager": FIELD_MANAGER, **({"dryRun": "All"} if dry_run else {})}
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        return self._json("POST", path, query, body=body, attempts=1)

    def delete(self, path: str) -> bool:
        """Delete an object; False if there was nothing to delete."""
        try:
            self._json("DELETE", path, {"propagationPolicy": "Background"})
        except ApiFault as fault:
            if fault.not_found:
                return False
            raise
        return True

    def _json(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        attempts: int | None = None,
    ) -> Any:
        target = path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept, **({} if data is None else {"Content-Type": content_type})}
        return json.loads(self._answer(method, target, data, headers, attempts or self._retry.attempts))

    def _answer(self, method: str, target: str, data: bytes | None, headers: dict[str, str], attempts: int) -> bytes:
        import urllib3

        attempt = 0
        while True:
            attempt += 1
            last = attempt >= (attempts if self._answered else self._retry.attempts_before_first_answer)
            try:
                response = self._send(method, target, data, headers)
            except urllib3.exceptions.SSLError as error:
                raise unreachable(f"{method} {target}", self.server, error, attempt, tls=True) from error
            except urllib3.exceptions.HTTPError as error:
                if last or method == "POST":
                    raise unreachable(f"{method} {target}", self.server, error, attempt, tls=False) from error
                self._sleep(self._retry.pause_s(attempt, None))
                continue
            if response.status < 300:
                return bytes(response.data)
            if attempt >= attempts or not _worth_retrying(method, response.status, response.data, data):
                raise refused(f"{method} {target}", self.server, response.status, response.data, attempt)
            self._sleep(self._retry.pause_s(attempt, response.headers.get("Retry-After")))

    def _send(self, method: str, target: str, data: bytes | None, headers: dict[str, str]) -> Any:
        with self._lock:
            self.requests += 1
            headers = {**self._headers(), **headers}
        response = self._pool.request(
            method,
            self.server + target,
            body=data,
            headers=headers,
            timeout=self._timeout_s,
            retries=False,
            redirect=False,
        )
        self._answered = True
        return response


def in_parallel(function: Callable[[Item], Outcome], items: Iterable[Item], concurrency: int) -> list[Outcome]:
    """Call ``function`` on each item, at most ``concurrency`` at once; after the first exception nothing new begins."""
    stop = threading.Event()

    def guarded(item: Item) -> list[Outcome]:
        if stop.is_set():
            return []
        try:
            return [function(item)]
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(max_workers=max(1, concurrency)) as pool:
        futures = [pool.submit(guarded, item) for item in items]
    return [outcome for future in futures for outcome in future.result()]
