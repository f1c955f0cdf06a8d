"""One request to the gateway, and what its answer means for the events in it.

Owns: the wire (`POST /v1/usage/events:batchIngest`, CloudEvents in a JSON array, gzip). Not: when to send what
(sender). Only an answer that a gateway gives counts as one: a proxy's 200 acknowledges nothing, its 400 condemns
nothing.
"""

import email.utils
import gzip
import http.client
import ipaddress
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from milo_usage.clock import Clock

PATH: Final = "/v1/usage/events:batchIngest"
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
RETRY_AFTER_S_MAX: Final = 3_600.0

_GZIP_LEVEL: Final = 1
_MESSAGE_CHARACTERS_MAX: Final = 300
_UNAVAILABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One event that the gateway will never take. `id` is the event's, empty where the gateway could not read it."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """All events but the refused ones are durable at the gateway."""

    refused: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Indigestible:
    """The whole body was refused: too large, or unreadable because of some event in it. Nothing of it was taken."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing is known to have been taken; send it again, not before `retry_after_s` where that is given."""

    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """Somebody has to act before sending makes sense: the token, the URL, the certificate."""

    message: str


Answer: TypeAlias = Taken | Indigestible | Unavailable | Denied


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send. A token file is read for each request, so that a renewed token is used at once."""

    url: str
    token: str | None
    token_file: Path | None
    ca_file: Path | None
    timeout_s: float

    def checked(self, *, allow_plain_http: bool) -> "Target":
        """The same target. Raises ValueError saying what is wrong with it."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"url is {self.url!r}: expected one such as 'https://billing.example.com:8444'")
        if parts.scheme == "http" and not allow_plain_http and not _is_loopback(parts.hostname):
            raise ValueError(
                f"url is {self.url!r}: a token must not travel in the clear; use https, or allow_plain_http=True"
            )
        if (self.token is None) == (self.token_file is None):
            raise ValueError("give either token or token_file")
        if self.token is not None and not self.token.isascii():
            raise ValueError("token holds characters that no token has")
        return self

    def read_token(self) -> str:
        """The bearer token. Raises OSError when its file cannot be read."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="ascii").strip()
        return self.token or ""


class Gateway:
    """A connection that is kept open between requests. Not thread-safe: the sender's own."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        parts = urlsplit(target.url)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/") + PATH
        self._secure = parts.scheme == "https"
        self._tls: ssl.SSLContext | None = None
        self._connection: http.client.HTTPConnection | None = None

    def send(self, events: Sequence[bytes]) -> Answer:
        """Send these events, each one's JSON, and wait for the answer. Does not raise for what networks do."""
        body = gzip.compress(b"[" + b",".join(events) + b"]", compresslevel=_GZIP_LEVEL, mtime=0)
        try:
            token = self._target.read_token()
        except (OSError, ValueError) as error:
            return Denied(f"the token file {self._target.token_file} cannot be read: {error}")
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/cloudevents-batch+json",
            "Content-Encoding": "gzip",
            "User-Agent": "milo-usage-python",
        }
        reused = self._connection is not None
        try:
            status, retry_after, answer = self._exchange(body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            if not reused:  # else the gateway had closed the idle connection, which is not an error
                return self._lost(error)
            try:
                status, retry_after, answer = self._exchange(body, headers)
            except (OSError, http.client.HTTPException) as again:
                return self._lost(again)
        except ssl.SSLCertVerificationError as error:
            self.close()
            return Denied(
                f"{self._target.url}: {error.verify_message}; is ca_file the authority of this gateway?"
            )
        except (OSError, http.client.HTTPException) as error:
            return self._lost(error)
        if status not in (200, 207):
            return self._failure(status, retry_after, answer)
        return _taken(answer, len(events)) or Denied(
            f"{self._target.url} answered {status} without what a gateway says: is url right? {_message(answer)}"
        )

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None, bytes]:
        connection = self._connection or self._connect()
        try:
            connection.request("POST", self._path, body=body, headers=dict(headers))
            response = connection.getresponse()
            answer = response.read(ANSWER_BYTES_MAX)
            if response.will_close or not response.isclosed():
                self.close()
        except BaseException:
            self.close()
            raise
        return response.status, response.getheader("Retry-After"), answer

    def _connect(self) -> http.client.HTTPConnection:
        timeout_s = self._target.timeout_s
        if not self._secure:
            self._connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
            return self._connection
        if self._tls is None:
            ca_file = self._target.ca_file
            self._tls = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        self._connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout_s, context=self._tls
        )
        return self._connection

    def _lost(self, error: Exception) -> Unavailable:
        self.close()
        return Unavailable(f"{self._target.url}: {error or type(error).__name__}")

    def _failure(self, status: int, retry_after: str | None, answer: bytes) -> Answer:
        message = f"{self._target.url} answered {status}: {_message(answer)}"
        if status == 413:
            return Indigestible("TOO_LARGE", _message(answer))
        if status == 400 and (code := _code(answer)) is not None:
            return Indigestible(code, _message(answer))
        if status in _UNAVAILABLE or status > 500:
            return Unavailable(message, self._wanted_wait_s(retry_after))
        if status in (401, 403):
            return Denied(
                f"{message}. Is the token right, and may it send usage (billing.miloapis.com/usage.ingest)?"
            )
        return Denied(f"{message}. Is url the gateway's, without a path?")

    def _wanted_wait_s(self, text: str | None) -> float | None:
        """Retry-After: seconds, or an HTTP date (RFC 9110 §10.2.3)."""
        if text is None:
            return None
        if text.strip().isdecimal():
            return min(float(text), RETRY_AFTER_S_MAX)
        try:
            at = email.utils.parsedate_to_datetime(text)
        except ValueError:
            return None
        return min(max(at.timestamp() - self._clock.now_us() / 1e6, 0.0), RETRY_AFTER_S_MAX)


def _taken(answer: bytes, count: int) -> Taken | None:
    """The fate of all events, if this is what a gateway says about as many."""
    fields = _object(answer)
    accepted, rejected = fields.get("accepted"), fields.get("rejected", [])
    if not isinstance(accepted, int) or not isinstance(rejected, list):
        return None
    items = [
        cast("dict[str, Any]", item) for item in cast("list[object]", rejected) if isinstance(item, dict)
    ]
    if accepted + len(items) != count:
        return None
    return Taken(
        tuple(
            Refusal(str(item.get("id", "")), str(item.get("reason", "")), str(item.get("detail", "")))
            for item in items
        )
    )


def _code(answer: bytes) -> str | None:
    """The reason in an error of the gateway: its own `code`, or the `reason` of a Kubernetes Status."""
    fields = _object(answer)
    code = fields.get("reason") if fields.get("kind") == "Status" else fields.get("code")
    return code if isinstance(code, str) and isinstance(fields.get("message"), str) else None


def _message(answer: bytes) -> str:
    text = _object(answer).get("message")
    found = text if isinstance(text, str) else answer.decode("utf-8", "replace")
    return " ".join(found.split())[:_MESSAGE_CHARACTERS_MAX]


def _object(answer: bytes) -> dict[str, Any]:
    try:
        fields: object = json.loads(answer)
    except ValueError:
        return {}
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
