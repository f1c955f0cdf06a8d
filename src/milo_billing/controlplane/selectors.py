"""Label and field selectors: parsing, matching one object, and the SQL that finds those that match.

Syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from milo_billing.controlplane.kinds import AnyKind
from milo_billing.controlplane.names import is_label_value, qualified_name_messages
from milo_billing.kernel.errors import BadRequest

Operator = Literal["in", "notin", "exists", "absent"]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^=!\s]*)$")
_EXISTENCE = re.compile(r"^(?P<op>!?)\s*(?P<key>[^=!\s(),]+)$")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term. `notin` and `absent` also match objects without the key, as in Kubernetes."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "in":
                return labels.get(self.key) in self.values
            case "notin":
                return labels.get(self.key) not in self.values
            case "exists":
                return self.key in labels
            case "absent":
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """All of the label requirements and all of the field requirements (`metadata.name` … → value, wanted or not)."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[tuple[str, str, bool], ...] = ()

    @property
    def selects_all(self) -> bool:
        return not self.labels and not self.fields

    def matches(self, *, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
        """`fields` includes metadata.name and metadata.namespace."""
        return all(r.matches(labels) for r in self.labels) and all(
            (fields.get(path, "") == value) is wanted for path, value, wanted in self.fields
        )

    @property
    def indexed_labels(self) -> tuple[dict[str, str], ...]:
        """Labels of which every match carries at least one set; empty where the index on labels cannot help."""
        wanted = [term for term in self.labels if term.operator == "in"]
        single = {term.key: next(iter(term.values)) for term in wanted if len(term.values) == 1}
        if single:
            return (single,)
        if not wanted:
            return ()
        narrowest = min(wanted, key=lambda term: len(term.values))
        return tuple({narrowest.key: value} for value in sorted(narrowest.values))

    @property
    def indexed_fields(self) -> dict[str, str]:
        """Values of selectable fields that every match has, beside name and namespace."""
        return {
            path: value for path, value, wanted in self.fields if wanted and not path.startswith("metadata.")
        }

    def conditions(self) -> tuple[list[str], list[Any]]:
        """SQL conditions over controlplane.objects, and their parameters in order."""
        sql: list[str] = []
        parameters: list[Any] = []
        for term in self.labels:
            match term.operator:
                case "in":
                    # containment uses the index on labels; one alternative a value
                    sql.append(
                        "("
                        + " or ".join(["labels @> jsonb_build_object(%s::text, %s::text)"] * len(term.values))
                        + ")"
                    )
                    parameters += [part for value in sorted(term.values) for part in (term.key, value)]
                case "notin":
                    sql.append("coalesce(labels ->> %s <> all (%s), true)")
                    parameters += [term.key, sorted(term.values)]
                case "exists":
                    sql.append("labels ? %s")
                    parameters.append(term.key)
                case "absent":
                    sql.append("not labels ? %s")
                    parameters.append(term.key)
        columns = {"metadata.name": "name", "metadata.namespace": "namespace"}
        for path, value, wanted in self.fields:
            if path in columns:
                sql.append(f"{columns[path]} {'=' if wanted else '<>'} %s")
                parameters.append(value)
            else:
                sql.append(f"{'' if wanted else 'not '}fields @> jsonb_build_object(%s::text, %s::text)")
                parameters += [path, value]
        return sql, parameters


def parse_selector(kind: AnyKind, *, labels: str, fields: str) -> Selector:
    """Raises BadRequest for what cannot be parsed, or a field that this kind does not offer."""
    return Selector(labels=_parse_labels(labels), fields=_parse_fields(kind, fields))


def _parse_labels(text: str) -> tuple[Requirement, ...]:
    return tuple(_parse_requirement(term.strip(), text) for term in _split(text) if term.strip())


def _split(text: str) -> list[str]:
    """At commas outside of parentheses."""
    return re.split(r",(?![^()]*\))", text)


def _parse_requirement(term: str, whole: str) -> Requirement:
    if (found := _SET.match(term)) is not None:
        values = frozenset(v.strip() for v in found["values"].split(","))
        return _checked(Requirement(found["key"], cast("Operator", found["op"]), values), whole)
    if (found := _EQUALITY.match(term)) is not None:
        operator: Operator = "notin" if found["op"] == "!=" else "in"
        return _checked(Requirement(found["key"], operator, frozenset({found["value"]})), whole)
    if (found := _EXISTENCE.match(term)) is not None:
        return _checked(Requirement(found["key"], "absent" if found["op"] else "exists"), whole)
    raise BadRequest(f"unable to parse requirement: {_complaint(term)}")


def _complaint(term: str) -> str:
    """What the API server's parser says of a term that it cannot read."""
    words = term.split()
    if len(words) > 2 and words[1] in ("in", "notin"):
        return f"found '{words[2]}' expected: '('"
    if len(words) > 1:
        return f"found '{words[1]}', expected: in, notin, =, ==, !=, gt, lt"
    return f"found '{term}', expected: identifier"


def _checked(requirement: Requirement, whole: str) -> Requirement:
    for message in qualified_name_messages(requirement.key):
        raise BadRequest(f'unable to parse requirement: <nil>: Invalid value: "{requirement.key}": {message}')
    for value in requirement.values:
        if not is_label_value(value):
            raise BadRequest(
                f'unable to parse requirement: "{value}" in "{whole}" is not a valid label value'
            )
    return requirement


def _parse_fields(kind: AnyKind, text: str) -> tuple[tuple[str, str, bool], ...]:
    allowed = {"metadata.name", *kind.selectable, *(("metadata.namespace",) if kind.namespaced else ())}
    parsed: list[tuple[str, str, bool]] = []
    for term in text.split(","):
        if not term:
            continue
        found = re.match(r"^(?P<path>[^=!]+?)(?P<op>==|!=|=)(?P<value>.*)$", term)
        if found is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        if found["path"] not in allowed:
            raise BadRequest(f"field label not supported: {found['path']}")
        parsed.append((found["path"], found["value"], found["op"] != "!="))
    return tuple(parsed)
