"""One HTTP connection to the service: TLS, bearer token, and answers turned into values or errors.

Owns: requests, retries of what is safe to repeat, decoding of error answers. Not: what the paths mean.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, cast

import httpx
import orjson

from milo_billing.client.connection import Connection
from milo_billing.client.errors import ApiError, Cause, UnableToConnect

Door = Literal["api", "gateway"]
JSON = dict[str, Any]

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
STREAM_TIMEOUT_S = 600.0
REPEATS_MAX = 5
REPEAT_WAIT_MAX_S = 5.0
USER_AGENT = "milo-billing-client"


class ApiClient:
    """Speaks to one server. Use it as a context manager; it keeps its connections open in between.

    Every method raises ApiError for an answer of 400 and above and UnableToConnect when no server answers.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        headers = {"User-Agent": USER_AGENT}
        if connection.token:
            headers["Authorization"] = f"Bearer {connection.token}"
        self._http = httpx.Client(
            verify=_trust(connection),
            headers=headers,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        door: Door = "api",
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request, once. `body` is encoded as JSON; bytes go as they are."""
        headers = {"Accept": accept}
        content: bytes | None = None
        if body is not None:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            headers["Content-Type"] = content_type
        url = self._base(door) + path
        try:
            answer = self._http.request(method, url, content=content, headers=headers, params=params)
        except httpx.HTTPError as error:
            raise _unreachable(self.connection, url, error) from error
        if answer.status_code >= 400:
            raise decode_error(answer)
        return answer

    def repeat(self, method: str, path: str, *, door: Door, body: object) -> JSON:
        """A request that is safe to send twice: repeated when the server is busy, restarting or unreachable.

        At most REPEATS_MAX times, waiting as Retry-After says, else 0.2, 0.4, 0.8 … seconds.
        """
        content = orjson.dumps(body)
        for attempt in range(REPEATS_MAX):
            try:
                return self.decode(self.request(method, path, door=door, body=content))
            except (ApiError, UnableToConnect) as error:
                if isinstance(error, ApiError) and error.code not in (429, 503):
                    raise
                wait_s = 0.2 * 2**attempt
                if isinstance(error, ApiError) and error.retry_after_s is not None:
                    wait_s = float(error.retry_after_s)
                time.sleep(min(wait_s, REPEAT_WAIT_MAX_S))
        return self.decode(self.request(method, path, door=door, body=content))

    def json(
        self,
        method: str,
        path: str,
        *,
        door: Door = "api",
        body: object = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> JSON:
        """One request, and the JSON object of its answer."""
        answer = self.request(
            method, path, door=door, body=body, content_type=content_type, accept=accept, params=params
        )
        return self.decode(answer)

    def decode(self, answer: httpx.Response) -> JSON:
        """The JSON object in an answer. Raises ApiError when there is none: then no server of ours
        answered.
        """
        try:
            value: object = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise ApiError(
                "The answer is not JSON: this address is not a Milo Billing server.",
                code=answer.status_code,
                reason="NotJSON",
                where=str(answer.url),
            ) from error
        return cast("JSON", value) if isinstance(value, dict) else {"items": value}

    def stream(
        self,
        method: str,
        path: str,
        *,
        body: object,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Iterator[JSON]:
        """The lines of a newline-delimited JSON answer, as they come; bytes of a body go as they are."""
        url = self._base("api") + path
        headers = {"Accept": "application/x-ndjson", "Content-Type": content_type}
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        timeout = httpx.Timeout(STREAM_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            with self._http.stream(
                method, url, content=content, headers=headers, timeout=timeout, params=params
            ) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise decode_error(answer)
                for line in answer.iter_lines():
                    if line:
                        yield cast("JSON", orjson.loads(line))
        except httpx.HTTPError as error:
            raise _unreachable(self.connection, url, error) from error

    def download(self, path: str, *, params: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """The bytes of an answer of any size, in pieces. What breaks off on the way raises, and is not half a file."""
        url = self._base("api") + path
        timeout = httpx.Timeout(STREAM_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        try:
            with self._http.stream("GET", url, timeout=timeout, params=params) as answer:
                if answer.status_code >= 400:
                    answer.read()
                    raise decode_error(answer)
                yield from answer.iter_bytes()
        except httpx.HTTPError as error:
            raise _unreachable(self.connection, url, error) from error

    def _base(self, door: Door) -> str:
        return self.connection.api_url if door == "api" else self.connection.gateway_url


def next_page(page: JSON) -> str:
    """What continues a list after this page; empty when it was the last."""
    return str(cast("JSON", page.get("metadata") or {}).get("continue") or "")


def decode_error(answer: httpx.Response) -> ApiError:
    """The error that an answer describes: a Kubernetes Status, or the gateway's `{code, message}`."""
    body: JSON = {}
    try:
        loaded: object = orjson.loads(answer.content)
        body = cast("JSON", loaded) if isinstance(loaded, dict) else {}
    except orjson.JSONDecodeError:
        body = {}  # a proxy's page: the status line has to do
    code = body.get("code")
    retry_after = answer.headers.get("Retry-After", "")
    return ApiError(
        str(body.get("message") or f"The server answered {answer.status_code} {answer.reason_phrase}."),
        code=answer.status_code,
        reason=str(body.get("reason") or (code if isinstance(code, str) else "")),
        causes=causes_of(body),
        where=f"{answer.request.method} {answer.request.url.path}",
        audit_id=str(answer.headers.get("Audit-Id", "")),
        retry_after_s=int(retry_after) if retry_after.isdigit() else None,
    )


def decode_status(body: JSON, *, where: str) -> ApiError:
    """The error in a Status that came inside of an answer."""
    return ApiError(
        str(body.get("message") or "The server gave no reason."),
        code=int(body.get("code") or 500),
        reason=str(body.get("reason") or ""),
        causes=causes_of(body),
        where=where,
    )


def causes_of(body: JSON) -> tuple[Cause, ...]:
    """Every field error that a Status names."""
    details = cast("JSON", body.get("details") or {})
    return tuple(
        Cause(str(cause.get("field", "")), str(cause.get("reason", "")), str(cause.get("message", "")))
        for cause in cast("list[JSON]", details.get("causes") or [])
    )


def _trust(connection: Connection) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=connection.ca_pem)
    except ssl.SSLError as error:
        raise UnableToConnect(
            "The certificate authority is not a PEM certificate.",
            where=connection.source,
            next_step="Give the file that the server wrote (its kubeconfig has it), or --ca-file FILE.",
        ) from error


def _unreachable(connection: Connection, url: str, error: httpx.HTTPError) -> UnableToConnect:
    step = (
        f"Is the server running? The address comes from {connection.source}; "
        "`milo-billing doctor` checks a local one."
    )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        step = "Its certificate is signed by somebody else: give the authority, --ca-file or --kubeconfig."
    elif isinstance(error, httpx.ReadTimeout):
        step = "The server took too long; `milo-billing doctor` and its log say why."
    return UnableToConnect(f"No answer: {str(error) or type(error).__name__}.", where=url, next_step=step)
