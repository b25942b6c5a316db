"""As much of a Kubernetes client as the lab itself needs: JSON over one kept connection."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from tests.lab.log import LabError

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(LabError):
    def __init__(self, method: str, path: str, status: int, message: str) -> None:
        super().__init__(f"API server: {method} {path}: {status} {message}")
        self.status = status


class Api:
    """One user's requests to the lab's API server."""

    def __init__(self, port: int, pki: Path, user: str = "lab-housekeeping", timeout_s: float = 30) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / f"{user}.crt", pki / f"{user}.key")
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_s, context=context)

    def raw(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, str]:
        """Status and text; a connection that the server closed meanwhile is opened once more."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        try:
            return self._exchange(method, path, data, headers)
        except (http.client.HTTPException, ConnectionError):
            self._connection.close()
            return self._exchange(method, path, data, headers)

    def _exchange(self, method: str, path: str, data: str | None, headers: dict[str, str]) -> tuple[int, str]:
        try:
            self._connection.request(method, path, data, headers)
            response = self._connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            self._connection.close()
            raise

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The answer's object; anything but 2xx is an ``ApiError``."""
        status, text = self.raw(method, path, body, content_type)
        answer = json.loads(text) if text.startswith("{") else {"message": text}
        if status >= 300:
            raise ApiError(method, path, status, answer.get("message", text))
        return answer

    def get(self, path: str) -> Any | None:
        """The object at ``path``, or nothing where there is none."""
        try:
            return self.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of a list; none where the kind is unknown."""
        answer = self.get(path)
        return answer["items"] if answer else []

    def create(self, path: str, body: dict[str, Any]) -> bool:
        """Create; false where it is already there."""
        try:
            self.request("POST", path, body)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """A JSON merge patch."""
        return self.request("PATCH", path, body, MERGE)

    def apply(self, path: str, body: dict[str, Any]) -> Any:
        """Server-side apply as the lab."""
        return self.request("PATCH", f"{path}?fieldManager=t9k-gpu-lab&force=true", body, APPLY)

    def delete(self, path: str) -> bool:
        """Delete; false where there is nothing."""
        try:
            self.request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True
