"""A configuration as `kubectl apply --server-side` sends it: read, checked, merged into a draft of the object."""

from datetime import datetime
from typing import Any, Literal, cast

from milo_billing.controlplane.decoding import Draft, FieldValidation, decode
from milo_billing.controlplane.kinds import AnyKind, Json
from milo_billing.controlplane.managing import merge_applied, owned_schema, owned_view
from milo_billing.controlplane.ownership import element_of, list_type
from milo_billing.controlplane.rows import Row
from milo_billing.controlplane.statuses import Failure, invalid
from milo_billing.kernel.errors import BadRequest, FieldError, Invalid


def decode_applied(
    kind: AnyKind, value: Any, *, name: str, validation: FieldValidation, duplicates: list[str]
) -> Draft:
    """The configuration. Raises 400 for what cannot be read, 422 where an item of a list stands in it twice."""
    metadata = cast("Json", value).get("metadata") if isinstance(value, dict) else None
    if isinstance(metadata, dict) and cast("Json", metadata).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    configuration = decode(kind, value, validation=validation, duplicates=duplicates)
    if configuration.name and configuration.name != name:
        raise BadRequest(
            f"the name of the object ({configuration.name}) does not match the name on the URL ({name})"
        )
    errors = _unmergeable(
        {"spec": configuration.spec, "status": configuration.status}, owned_schema(kind), path=""
    )
    if errors:
        raise Invalid(errors)
    return configuration


def _unmergeable(value: Any, schema: Json, path: str) -> list[FieldError]:
    """Where the configuration has another shape than the schema, or names an item twice: it cannot be merged."""
    wanted = schema.get("type")
    if (
        value is not None
        and wanted in ("object", "array")
        and not isinstance(value, dict if wanted == "object" else list)
    ):
        message = f"Invalid value: expected {'map' if wanted == 'object' else 'list'}"
        return [FieldError(path, "FieldValueTypeInvalid", message)]
    errors: list[FieldError] = []
    if isinstance(value, dict):
        for name, below in cast("Json", value).items():
            found: Any = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(found, dict):
                errors += _unmergeable(below, cast("Json", found), f"{path}.{name}" if path else name)
    elif isinstance(value, list) and list_type(schema) != "atomic":
        errors += _repeated(cast("list[Any]", value), schema, path)
    return errors


def _repeated(items: list[Any], schema: Json, path: str) -> list[FieldError]:
    if list_type(schema) == "map" and not all(isinstance(item, dict) for item in items):
        return [FieldError(path, "FieldValueTypeInvalid", "Invalid value: expected a list of maps")]
    seen: set[str] = set()
    errors: list[FieldError] = []
    for item in items:
        element = element_of(item, schema)
        if element in seen:
            errors.append(FieldError(path, "FieldValueDuplicate", f"Duplicate value: {element[2:]}"))
        seen.add(element)
    return errors


def applied_draft(
    kind: AnyKind,
    found: Row | None,
    configuration: Draft,
    *,
    by: str,
    force: bool,
    subresource: Literal["", "status"],
    now: datetime,
) -> Draft:
    """The object that the configuration leads to, with its managers. Raises 409 with every conflict."""
    if configuration.uid and configuration.uid != ("" if found is None else str(found.uid)):
        wrong = FieldError(
            "metadata.uid", "FieldValueInvalid", f'Invalid value: "{configuration.uid}": field is immutable'
        )
        raise Failure(invalid(kind.kind, kind.group, configuration.name, [wrong]))
    view = owned_view(
        labels=configuration.labels,
        metadata=configuration.metadata,
        spec=configuration.spec,
        status=configuration.status,
        subresource=subresource,
    )
    if not configuration.has_spec:
        view.pop("spec", None)  # nothing is said of it: not even that it is empty
    merged, managers = merge_applied(kind, found, view, by=by, force=force, subresource=subresource, now=now)
    metadata = dict(merged.get("metadata") or {})
    return Draft(
        name=configuration.name,
        namespace=configuration.namespace,
        generate_name="",
        uid="",
        resource_version=configuration.resource_version if found is not None else "",
        labels=metadata.pop("labels", None) or {},
        metadata={**metadata, "managedFields": managers},
        spec=merged.get("spec") or {},
        status=merged.get("status") or {},
        tracked=True,
    )
