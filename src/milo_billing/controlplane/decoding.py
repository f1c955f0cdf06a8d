"""Request bodies into drafts: JSON or YAML in, unknown and duplicate fields found, type and identity checked.

Messages follow the API server (recorded in shared/kubernetes). Not: defaults, rules (admission).
"""

import copy
import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import yaml
from typing_extensions import override

from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.rows import MANAGED
from milo_billing.controlplane.schemas import prune, structural_schema
from milo_billing.controlplane.statuses import Failure, Status, invalid
from milo_billing.kernel.bodies import DEPTH_MAX, check_value
from milo_billing.kernel.errors import BadRequest, FieldError

FieldValidation = Literal["Strict", "Warn", "Ignore"]

ACCEPTED_BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


@dataclass(slots=True)
class Draft:
    """What a client wants an object to be. `status` is what it sent; whether it counts is the verb's business."""

    name: str
    namespace: str
    generate_name: str
    uid: str
    resource_version: str
    labels: dict[str, str]
    metadata: Json
    spec: Json
    status: Json
    warnings: list[str] = field(default_factory=list[str])
    has_spec: bool = True
    """Whether the client sent a spec at all, if only an empty one."""
    tracked: bool = False
    """Whether managedFields already say who owns what: true after a server-side apply."""


def parse_body(kind: AnyKind, body: bytes, content_type: str) -> tuple[Any, list[str]]:
    """The value in a body and the paths of its duplicate fields. Raises 400 or 415 as the API server does."""
    value, duplicates = _parse(kind, body, content_type)
    check_value(value)
    return value, duplicates


def _parse(kind: AnyKind, body: bytes, content_type: str) -> tuple[Any, list[str]]:
    media = content_type.partition(";")[0].strip().lower() or "application/json"
    if media == "application/json":
        return _parse_json(kind, body)
    if media in ("application/merge-patch+json", "application/json-patch+json"):
        return _parse_patch(body)
    if media in ("application/yaml", "application/apply-patch+yaml"):
        try:
            return _load_yaml(body), []
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise BadRequest(_unrecognized(kind, f"yaml parse error: {error}", body)) from error
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(
        ACCEPTED_BODIES
    )
    raise Failure(Status(415, "UnsupportedMediaType", message))


_YAML_BYTES_UNSUSPECTED = 4096
"""A shorter text cannot be nested so deeply that it does harm before `check_value` sees it."""

_MERGED_MAX, _MERGES_MAX = 10_000, 20
"""Fields of one mapping after its merge keys (`<<`), and mappings in one merge key."""


def _load_yaml(body: bytes) -> Any:
    """Raises YAMLError, ValueError, TypeError or RecursionError for what is no YAML, or is made to do harm.

    libyaml composes nested nodes by calling itself, without a bound: 100 KB of "- - - -" would end the process. So the
    events, which it finds without, are counted first.
    """
    if len(body) > _YAML_BYTES_UNSUSPECTED:
        depth = 0
        for event in yaml.parse(body, Loader=_YamlLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_MAX:
                    raise ValueError("the body is nested too deeply")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    return yaml.load(body, Loader=_YamlLoader)


class _YamlLoader(yaml.CSafeLoader):
    """YAML as JSON would have it: a timestamp stays the text it is."""

    @override
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve merge keys, which may double a mapping each time, within bounds."""
        for key, value in node.value:
            merged = key.tag == "tag:yaml.org,2002:merge" and isinstance(value, yaml.SequenceNode)
            if merged and len(value.value) > _MERGES_MAX:
                raise ValueError("a merge key (<<) names too many mappings")
        super().flatten_mapping(node)
        if len(node.value) > _MERGED_MAX:
            raise ValueError("the merge keys (<<) make a mapping too large")


_YamlLoader.add_constructor(
    "tag:yaml.org,2002:timestamp", lambda _, node: cast("yaml.ScalarNode", node).value
)


def _parse_patch(body: bytes) -> tuple[Any, list[str]]:
    try:
        return load_json(body)
    except ValueError as error:
        complaint = _go_complaint(body, error).removeprefix("json parse error: ")
        raise BadRequest(f"error decoding patch: {complaint}") from error


def _parse_json(kind: AnyKind, body: bytes) -> tuple[Any, list[str]]:
    try:
        return load_json(body)
    except ValueError as error:
        raise BadRequest(_unrecognized(kind, _go_complaint(body, error), body)) from error


def load_json(body: bytes) -> tuple[Any, list[str]]:
    """The value, and the paths of its duplicate fields. Raises ValueError, or BadRequest when nested too deeply."""
    repeated: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> Json:
        made = dict(found)
        if len(made) != len(found):
            seen: set[str] = set()
            for key, _ in found:
                if key in seen:
                    repeated.append(key)
                seen.add(key)
        return made

    try:
        value = json.loads(body, object_pairs_hook=pairs)
    except RecursionError as error:
        raise BadRequest("the body is nested too deeply") from error
    return value, [_path_of(value, key) for key in repeated]


def _path_of(value: Any, key: str, path: str = "") -> str:
    """The first path that ends in this key: how a duplicate is named."""
    if isinstance(value, dict):
        fields = cast("Json", value)
        if key in fields:
            return f"{path}.{key}" if path else key
        for name, nested in fields.items():
            found = _path_of(nested, key, f"{path}.{name}" if path else name)
            if found:
                return found
    if isinstance(value, list):
        for index, nested in enumerate(cast("list[Any]", value)):
            found = _path_of(nested, key, f"{path}[{index}]")
            if found:
                return found
    return ""


def _go_complaint(body: bytes, error: ValueError) -> str:
    """The decoder's complaint in the words that users of Kubernetes know."""
    text = body.decode(errors="replace")
    if not text.strip():
        return "json parse error: unexpected end of JSON input"
    if isinstance(error, json.JSONDecodeError) and error.pos < len(text):
        where = "object key string" if "property name" in error.msg else "value"
        return f"json parse error: invalid character '{text[error.pos]}' looking for beginning of {where}"
    return "json parse error: unexpected end of JSON input"


def _unrecognized(kind: AnyKind, why: str, body: bytes) -> str:
    text = body.decode(errors="replace")
    shown = f"{text[:30]} ..." if len(text) > 30 else text or "<empty>"
    expected = f"the object provided is unrecognized (must be of type {kind.kind})"
    return f"{expected}: couldn't get version/kind; {why} ({shown})"


def decode(
    kind: AnyKind, value: Any, *, validation: FieldValidation, duplicates: list[str], raw: bytes = b""
) -> Draft:
    """A draft of this kind. Changes nothing of `value`.

    Raises 400 for another version or, with Strict, unknown and duplicate fields; 422 for another kind.
    """
    wire = _identified(kind, value, raw)
    schema = structural_schema(kind)
    unknown = prune(wire, schema)
    metadata: Any = wire.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise BadRequest(
            f"{kind.kind} in version {kind.version!r} cannot be handled: metadata must be an object"
        )
    meta = cast("Json", metadata)
    if not isinstance(meta.get("labels") or {}, dict):
        raise BadRequest(
            f"{kind.kind} in version {kind.version!r} cannot be handled: labels must be an object"
        )
    complaints = [f'unknown field "{path}"' for path in unknown]
    complaints += [f'duplicate field "{path}"' for path in duplicates]
    if complaints and validation == "Strict":
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            f"strict decoding error: {', '.join(complaints)}"
        )
    return Draft(
        name=_text(meta, "name"),
        namespace=_text(meta, "namespace"),
        generate_name=_text(meta, "generateName"),
        uid=_text(meta, "uid"),
        resource_version=_text(meta, "resourceVersion"),
        labels=meta.get("labels") or {},
        metadata={part: meta[part] for part in MANAGED if meta.get(part)},
        spec=wire.get("spec") or {},
        status=wire.get("status") or {},
        warnings=complaints if validation == "Warn" else [],
        has_spec="spec" in wire,
    )


def _text(metadata: Json, key: str) -> str:
    value = metadata.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"metadata.{key} must be a string")
    return value


def _identified(kind: AnyKind, value: Any, raw: bytes) -> Json:
    """A deep copy of the value, once it says that it is an object of this kind."""
    wanted_version = f"{kind.group}/{kind.version}"
    if not isinstance(value, dict):
        raise BadRequest(_unrecognized(kind, "json parse error: the body is not an object", raw))
    wire = cast("Json", value)
    found_kind, found_version = wire.get("kind"), wire.get("apiVersion")
    if not found_kind:
        text = raw.decode(errors="replace") or json.dumps(wire)
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind.kind}): Object 'Kind' is missing in "
            f"'{text}' ({text[:30]} ...)"
        )
    if found_version != wanted_version:
        raise BadRequest(
            f"the API version in the data ({found_version or ''}) does not match the expected API version "
            f"({wanted_version})"
        )
    if found_kind != kind.kind:
        metadata = wire.get("metadata")
        name = str(cast("Json", metadata).get("name", "")) if isinstance(metadata, dict) else ""
        wrong = FieldError("kind", "FieldValueInvalid", f'Invalid value: "{found_kind}": must be {kind.kind}')
        raise Failure(invalid(str(found_kind), kind.group, name, [wrong]))
    return copy.deepcopy(wire)
