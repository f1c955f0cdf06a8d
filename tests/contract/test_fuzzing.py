"""Requests generated from the server's own OpenAPI documents, good ones and bad ones, alone and along their links.

Whatever is sent: an answer within seconds, below 500, in the shape of an error where it is one, and without a name of
the other customer. `./task test` sends the same few every time; the long run many more.
"""

import json
import urllib.parse
from collections import Counter
from typing import Any, TypeAlias

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition, Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.transport import Response

from tests.contract.examples import EXAMPLES
from tests.contract.fuzzing import ANSWER_S_MAX, FUZZER, Arena, Reply, problems

KINDS = ("billing.miloapis.com", "iam.miloapis.com", "resourcemanager.miloapis.com", "services.miloapis.com")
DOCUMENTS = (*(f"apis/{group}/v1alpha1" for group in KINDS), "v1", "gateway")
SEED = 20261001


@schemathesis.serializer("application/x-ndjson")
def _send_lines(_: Any, value: object) -> bytes:
    """A body of lines is a text in the document; whatever else is made up is one line."""
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


SLOW_AND_LARGE = (
    *(HealthCheck.too_slow, HealthCheck.filter_too_much),
    *(HealthCheck.data_too_large, HealthCheck.large_base_example),
)

AnyCase: TypeAlias = Case[Any]

NAMES_OF_NOBODY = ("nobody", "Not A Name", "..", "a/b", "%", "é💶", "x" * 300)

LASTING = ("organizations", "policybindings", "projects", "roles", "services", "serviceaccounts")
"""What is deleted for a trial only: the attacker needs it to go on attacking."""


def load(arena: Arena, document: str, *, offering: bool = True) -> tuple[str, Any]:
    """Where the operations are, and the document as the server serves it, told of what stands here.

    A generator that knows only types never finds the name of an account, nor a body that is accepted: it is offered
    some, besides whatever else it makes up; not where what is wanted is wrong.
    """
    url, place = (arena.gateway, "v1") if document == "gateway" else (arena.cluster.url, document)
    headers = {"Authorization": f"Bearer {arena.admin}"}
    raw = requests.get(f"{url}/openapi/v3/{place}", headers=headers, timeout=ANSWER_S_MAX).json()
    for path, item in raw["paths"].items():
        for parameter in item.get("parameters", ()):
            # never "or any text": of a choice between some texts and all texts, the generator makes all texts
            if known := arena.names.get(parameter["name"]):
                parameter["schema"] = {"enum": [*known, *known, *NAMES_OF_NOBODY]}
        if not offering:
            continue
        for method in ("post", "put", "patch"):
            if bodies := good_bodies(arena, path, method):
                for media in item.get(method, {}).get("requestBody", {}).get("content", {}).values():
                    media["schema"] = offered(media["schema"], bodies)
        for method, operation in ((m, o) for m, o in item.items() if m != "parameters"):
            for parameter in operation.get("parameters", ()):
                if known := WORDS.get(parameter["name"]):
                    parameter["schema"] = {
                        "enum": list(known)
                    }  # anything else is what is sent on purpose as bad
            if "json-patch" in str(operation.get("requestBody")) and method == "patch":
                operation["requestBody"]["content"]["application/json-patch+json"]["schema"] = JSON_PATCHES
    return url, schemathesis.openapi.from_dict(raw)


def offered(schema: Any, values: Any) -> Any:
    """Mostly one of the values, else whatever the schema allows."""
    return {"anyOf": [{"enum": list(values)}, {"enum": list(values)}, schema]}


WORDS: dict[str, tuple[str | int, ...]] = {
    "dryRun": ("All",),
    "fieldManager": ("fuzz", "kubectl"),
    "fieldValidation": ("Strict", "Warn", "Ignore"),
    "resourceVersionMatch": ("Exact", "NotOlderThan"),
    "resourceVersion": ("0", "1", "7"),
    "propagationPolicy": ("Background", "Foreground", "Orphan"),
    "labelSelector": ("team", "!team", "team in (a, b)", "team=zq7projectlabel"),
    "fieldSelector": ("metadata.name=main", "metadata.name!=zq7account"),
    "at": ("2099-01-01T00:00:00Z",),
    "from": ("2026-01-01",),
    "to": ("2028-01-01",),
    "limit": (1, 2, 100),
    "continue": ("",),
    "after": ("",),
    "groupBy": ("project,meter", "day", "project,meter,day"),
}

JSON_PATCHES = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["op", "path"],
        "properties": {
            "op": {"enum": ["add", "remove", "replace", "test", "move", "copy"]},
            "path": {
                "enum": [
                    "/spec",
                    "/metadata/labels",
                    "/spec/displayName",
                    "/metadata/finalizers/0",
                    "/status",
                    "",
                ]
            },
            "from": {"enum": ["/spec", "/metadata", "/metadata/name", ""]},
            "value": {},
        },
    },
}


def good_bodies(arena: Arena, path: str, method: str) -> list[Any]:
    """Bodies that are accepted at this place, or could be; none where nothing is known."""
    plural = path.rstrip("/").rsplit("/", 1)[-1]
    known = EXAMPLES.get(plural if method == "post" else path.rsplit("/", 2)[-2 if path.endswith("}") else 0])
    if known is None:
        return []
    if method == "patch":
        return [
            {"metadata": {"labels": {"a": "b"}}},
            known.change or {"spec": None},
            {"spec": {}},
            {"status": {}},
        ]
    return [
        {**known.manifest, "metadata": {**known.manifest["metadata"], "name": name}}
        for name in ("fresh", "fresh-2", "fresh-3", known.manifest["metadata"]["name"])
    ]


def tame(case: AnyCase) -> None:
    """Keep a watch short, and what the attack stands on standing."""
    query = case.query or {}
    if case.method == "GET" and "watch" in query:
        query["timeoutSeconds"] = 1
    if case.method == "DELETE" and any(f"/{plural}" in case.path for plural in LASTING):
        query["dryRun"] = "All"
    case.query = query


def judge(case: AnyCase, answer: Response, *, watched: bool) -> None:
    """Fail with everything that is wrong with the answer, and with the request that got it."""
    content_type = (answer.headers.get("content-type") or [""])[0]
    reply = Reply(answer.status_code, content_type, answer.content or b"", answer.elapsed)
    sent = None
    if watched:
        body = answer.request.body or b""
        text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
        sent = f"{urllib.parse.unquote(str(answer.request.url))} {text}".lower()
    found = problems(reply, path=case.path, method=case.method, sent=sent)
    shown = f"{case.method} {answer.request.url} {str(answer.request.body)[:2000]}"
    assert not found, f"{'; '.join(found)}: {reply.text[:500]}\n{shown}"


def send(case: AnyCase, session: requests.Session, *, url: str, token: str) -> Response:
    """The answer. No answer in time fails by itself."""
    tame(case)
    headers = {"Authorization": f"Bearer {token}"}
    return case.call(base_url=url, session=session, headers=headers, timeout=ANSWER_S_MAX)


def fuzz(arena: Arena, document: str, *, token: str, examples: int, mode: GenerationMode) -> None:
    """So many examples of every operation of a document."""
    url, schema = load(arena, document, offering=mode is GenerationMode.POSITIVE)
    watched = token == FUZZER
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation is None:
                raise AssertionError(f"the document cannot be read: {found.err()}")
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # of a parameter that is a text nothing is wrong; test_nasty_requests has the others

            @seed(SEED)
            @settings(
                max_examples=examples,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=SLOW_AND_LARGE,
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: AnyCase) -> None:
                judge(case, send(case, session, url=url, token=token), watched=watched)

            try:
                check()
            except Unsatisfiable:
                assert mode is GenerationMode.NEGATIVE  # without parameters nothing can be wrong with them


def walk(arena: Arena, document: str, *, token: str, examples: int, steps: int) -> Counter[str]:
    """Sequences of operations along the links: what was created is read, changed, acted on and deleted.

    How often each method succeeded.
    """
    url, schema = load(arena, document)
    watched = token == FUZZER
    reached: Counter[str] = Counter()
    wrong: list[AssertionError] = []
    with requests.Session() as session:
        machine: Any = schema.as_state_machine()

        class Walk(machine):
            def call(self, case: AnyCase, **_: Any) -> Response:
                return send(case, session, url=url, token=token)

            def validate_response(self, response: Response, case: AnyCase, *_: Any, **__: Any) -> None:
                try:
                    judge(case, response, watched=watched)
                except AssertionError as error:
                    wrong.append(error)
                    raise
                reached[case.method] += response.status_code < 300

        wanted = settings(
            max_examples=examples,
            stateful_step_count=steps,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=SLOW_AND_LARGE,
        )
        try:
            Walk.run(settings=wanted)
        except FlakyStrategyDefinition:
            # The server is not what it was when the generator went this way before: then there is no going on from what
            # it remembers. What was answered wrongly counts all the same.
            if wrong:
                raise wrong[0] from None
    return reached


def still_in(arena: Arena) -> None:
    """The attacker is not locked out: or everything after that was refused at the door, and proves nothing."""
    assert arena.send("GET", "/apis/billing.miloapis.com/v1alpha1/billingaccounts").code == 200


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_customer_gets_an_answer_and_sees_nobody_else(
    arena: Arena, document: str, mode: GenerationMode
) -> None:
    fuzz(arena, document, token=FUZZER, examples=2, mode=mode)
    still_in(arena)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_provider_gets_an_answer(arena: Arena, document: str) -> None:
    fuzz(arena, document, token=arena.admin, examples=1, mode=GenerationMode.POSITIVE)


@pytest.mark.parametrize("who", ["customer", "provider"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_are_followed_to_an_answer(arena: Arena, document: str, who: str) -> None:
    token = FUZZER if who == "customer" else arena.admin
    reached = walk(arena, document, token=token, examples=3, steps=8)
    if who == "provider":
        assert reached.total() > 0, "nothing was accepted: what the test offers is no longer good"
    still_in(arena)


@pytest.mark.long
@pytest.mark.parametrize("who", ["customer", "provider"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_many_requests_and_long_walks_get_an_answer(arena: Arena, document: str, who: str) -> None:
    token = FUZZER if who == "customer" else arena.admin
    for mode in GenerationMode:
        fuzz(arena, document, token=token, examples=12, mode=mode)
    walk(arena, document, token=token, examples=20, steps=20)
    still_in(arena)
