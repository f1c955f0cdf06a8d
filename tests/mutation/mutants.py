"""The mutants of a file of rules: every function in it, and every constant, changed in one place.

The changes are those of mutmut: comparisons, operators, numbers, strings, arguments that are left out or None,
values that are not assigned, cases that are missing. What it leaves alone, and this does not: functions behind a
decorator, and the module's constants. What both leave alone: annotations, decorators, defaults of a class's fields,
docstrings; and here, names of types, what an assertion says, and that zip is strict: those are for programmers.
"""

import ast
import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor, deep_replace
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
MUTATED = (
    "milo_billing/pricing/rules",
    "milo_billing/commitments/rules",
    "milo_billing/invoicing/rules/adjusting.py",
    "milo_billing/invoicing/rules/below_zero.py",
    "milo_billing/invoicing/rules/crediting.py",
    "milo_billing/invoicing/rules/drafts.py",
    "milo_billing/invoicing/rules/early_payment.py",
    "milo_billing/invoicing/rules/grants.py",
    "milo_billing/invoicing/rules/issuing.py",
    "milo_billing/invoicing/rules/late_interest.py",
    "milo_billing/invoicing/rules/left.py",
    "milo_billing/invoicing/rules/life.py",
    "milo_billing/invoicing/rules/periods.py",
    "milo_billing/invoicing/rules/postings.py",
    "milo_billing/invoicing/rules/spreading.py",
    "milo_billing/invoicing/rules/tax_rates.py",
    "milo_billing/invoicing/rules/tax_treatments.py",
    "milo_billing/invoicing/rules/taxes.py",
    "milo_billing/ledger/rules/posting.py",
    "milo_billing/payments/rules/dunning.py",
    "milo_billing/payments/rules/matching.py",
    "milo_billing/payments/rules/references.py",
    "milo_billing/payments/rules/retries.py",
    "milo_billing/payments/rules/transfer_sources.py",
)
"""Folders, and single files of those whose rules are not all tried yet."""

CONSTANTS = "(constants)"
"""Stands for a function's name where a statement of the module itself was changed."""

_TYPES_ONLY = m.AnnAssign(annotation=m.Annotation(m.Name("TypeAlias"))) | m.Assign(
    value=m.Call(func=m.Name("TypeVar"))
)
"""Statements that only a type checker reads."""


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One change. It is known by its text, so that a record of it outlives edits elsewhere in the function."""

    file: str
    function: str
    was: str
    becomes: str
    code: str
    """The whole function, without decorators, or the whole statement, as it is with the change."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is mutated as a whole: a function, or the constants of a module."""

    file: str
    function: str
    content: str
    """A hash of what it says, whatever its layout, comments and docstring."""


def mutated_files() -> list[str]:
    """The files of rules, from `src` on."""
    return [
        str(path.relative_to(SOURCE))
        for place in MUTATED
        for path in ([SOURCE / place] if place.endswith(".py") else sorted((SOURCE / place).glob("*.py")))
        if path.name != "__init__.py"
    ]


def parts_of(file: str, text: str) -> tuple[Part, ...]:
    """The functions of a file, and its constants if it has any, in the order of the file."""
    parts: list[Part] = []
    constants: list[str] = []
    for name, node in _named(ast.parse(text).body):
        if isinstance(node, ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            parts.append(Part(file, name, _hash(ast.dump(node))))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            constants.append(ast.dump(node))
    if constants:
        parts.append(Part(file, CONSTANTS, _hash("".join(constants))))
    return tuple(parts)


def mutants_of(file: str, text: str, *, functions: Container[str] | None = None) -> tuple[Mutant, ...]:
    """All mutants of a file, or of these functions of it, each once, in the order of the file."""
    wrapper = MetadataWrapper(cst.parse_module(text))
    visitor = _Visitor()
    wrapper.visit(visitor)
    holders = dict(_holders(wrapper.module))
    originals: dict[int, tuple[str, str]] = {}
    found: dict[Mutant, None] = {}
    for mutation in visitor.mutations:
        holder = visitor.holder(mutation.original_node)
        place = holders.get(holder) if holder is not None else None
        if holder is None or place is None:
            continue  # a field of a class
        if functions is not None and place not in functions:
            continue
        changed = deep_replace(holder, mutation.original_node, mutation.mutated_node)
        if not isinstance(changed, cst.FunctionDef | cst.SimpleStatementLine):
            raise TypeError(f"{file}: {place} became {type(changed).__name__}")
        before, meaning = originals.get(id(holder)) or originals.setdefault(id(holder), _said(holder))
        after = _code(changed)
        if meaning != _meaning(after):
            was, becomes = _difference(before, after)
            found[Mutant(file, place, was, becomes, after)] = None
    return tuple(found)


def unchanged(file: str, text: str, *, function: str) -> Mutant:
    """A function that is put in its own place: whatever tells it from a mutant would fail every mutant too."""
    module = cst.parse_module(text)
    code = next(_code(node) for node, name in _holders(module) if name == function)
    return Mutant(file, function, "", "", code)


class _Visitor(MutationVisitor):
    """Collects the changes of mutmut."""

    def __init__(self) -> None:
        super().__init__(mutation_operators, IgnoredCode(set(), set(), set()))
        self._statements: list[cst.SimpleStatementLine] = []
        self._holder: dict[int, cst.CSTNode] = {}

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, _TYPES_ONLY):
            return False
        if isinstance(node, cst.SimpleStatementLine):
            self._statements.append(node)
        before = len(self.mutations)
        goes_on = super().on_visit(node)
        for mutation in self.mutations[before:]:
            function = mutation.contained_by_top_level_function
            holder = function if isinstance(function, cst.FunctionDef) else None
            if holder is None and self._statements:
                holder = self._statements[0]
            if holder is not None:
                self._holder[id(mutation.original_node)] = holder
        return goes_on

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.SimpleStatementLine):
            self._statements.pop()
        super().on_leave(original_node)

    def holder(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The function, or the statement of the module, that the change is in."""
        return self._holder.get(id(node))

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        return not isinstance(node, cst.FunctionDef) and super()._skip_node_and_children(node)


def _holders(module: cst.Module) -> Iterator[tuple[cst.CSTNode, str]]:
    for statement in module.body:
        if isinstance(statement, cst.FunctionDef):
            yield statement, statement.name.value
        elif isinstance(statement, cst.ClassDef):
            for inner in statement.body.body:
                if isinstance(inner, cst.FunctionDef):
                    yield inner, f"{statement.name.value}.{inner.name.value}"
        elif isinstance(statement, cst.SimpleStatementLine):
            yield statement, CONSTANTS


def _named(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner
        else:
            yield node.name if isinstance(node, ast.FunctionDef) else "", node


def _code(node: cst.CSTNode) -> str:
    if isinstance(node, cst.FunctionDef):
        node = node.with_changes(decorators=(), leading_lines=(), lines_after_decorators=())
    elif isinstance(node, cst.SimpleStatementLine):
        node = node.with_changes(leading_lines=())
    return cst.Module([]).code_for_node(node)


class _Unasserted(ast.NodeTransformer):
    """Leaves out what only tells a programmer of a defect: the words of an assertion, and zip's `strict`."""

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        node.msg = None
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        if isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = [one for one in node.keywords if one.arg != "strict"]
        self.generic_visit(node)
        return node


def _meaning(code: str) -> str:
    return ast.dump(_Unasserted().visit(ast.parse(code)))


def _said(node: cst.CSTNode) -> tuple[str, str]:
    code = _code(node)
    return code, _meaning(code)


def _difference(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, without their indentation."""
    was, becomes = before.splitlines(), after.splitlines()
    while was and becomes and was[0] == becomes[0]:
        del was[0], becomes[0]
    while was and becomes and was[-1] == becomes[-1]:
        del was[-1], becomes[-1]
    return "\n".join(map(str.strip, was)), "\n".join(map(str.strip, becomes))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
