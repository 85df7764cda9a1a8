"""Requests to the service over HTTP, with errors for people."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlencode

from service.errors import ServiceError

TIMEOUT = 60.0
"""Seconds without a byte after which a response counts as broken: the service sends a comment every
15 seconds on a stream."""
LARGEST_PAGE = 100

Json = dict[str, Any]


class Unreachable(ServiceError):
    """The service is unreachable. Check its URL and whether it is running."""


class Client:
    """The service at a URL, as the user of a token. Without a token: demo mode."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token

    def get(self, path: str, query: Mapping[str, object] | None = None) -> Json:
        """The JSON object of a response. Raises ServiceError with the reason of a refusal."""
        text = urlencode({name: value for name, value in (query or {}).items() if value})
        with self.open(f"{path}?{text}" if text else path) as response:
            return self._read(response)

    def post(self, path: str, body: Json) -> Json:
        """The JSON object of the response to a JSON body."""
        with self.open(path, json.dumps(body).encode()) as response:
            return self._read(response)

    def objects(self, path: str, name: str, query: Mapping[str, object] | None = None) -> Json:
        """The JSON object of a response that has a list of this name."""
        answer = self.get(path, query)
        if not isinstance(answer.get(name), list):
            raise self.not_this_service()
        return answer

    def pages(self, path: str, name: str, query: Mapping[str, object], most: int) -> Iterator[Json]:
        """The objects of a paginated list, page by page; at most `most`, or all if it is 0."""
        cursor, left = "", most
        while True:
            limit = min(left, LARGEST_PAGE) if most else LARGEST_PAGE
            answer = self.objects(path, name, {**query, "limit": limit, "cursor": cursor})
            yield from answer[name]
            left -= len(answer[name])
            cursor = answer["nextCursor"]
            if not cursor or (most and left <= 0):
                return

    def open(
        self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """A response whose body is not read yet."""
        if not self.url.startswith(("http://", "https://")):
            raise Unreachable(f"{self.url} is not an http(s) URL. Check --url.")
        address = self.url.rstrip("/") + path
        request = urllib.request.Request(address, data=body, headers=headers or {})  # noqa: S310
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            return urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310 - http(s)
        except urllib.error.HTTPError as error:
            raise ServiceError(_detail(error)) from error
        except ValueError as error:  # its text may contain the token
            raise Unreachable(
                "The URL or the token contains characters that are not valid. Check both."
            ) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"{self.url} is unreachable: {reason}. Is the service running?"
            ) from error

    def _read(self, response: Any) -> Json:
        try:
            answer = json.load(response)
        except ValueError as error:
            raise self.not_this_service() from error
        if not isinstance(answer, dict):
            raise self.not_this_service()
        return answer

    def not_this_service(self) -> Unreachable:
        """The error for a response that is not one of this service."""
        return Unreachable(f"The server at {self.url} is not this service. Check the URL.")


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return cast(str, json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"The service responded with status {error.code}."
