"""Contract of import-linter: across slices, only the public modules of a slice may be imported."""

from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


class SlicePrivacyContract(Contract):
    """`slices` meet only through `public` modules and `doors` (slice.room…); `exempt` packages may import anything."""

    slices = fields.ListField(subfield=fields.StringField())
    public = fields.ListField(subfield=fields.StringField())
    doors = fields.ListField(subfield=fields.StringField(), required=False)
    exempt = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        root = cast("list[str]", self.session_options["root_packages"])[0]
        # the fields become the lists they describe when the contract is read
        public, doors, exempt = (
            cast("list[str]", chosen or []) for chosen in (self.public, self.doors, self.exempt)
        )
        broken: list[tuple[str, str]] = []
        for slice_ in cast("list[str]", self.slices):
            package = f"{root}.{slice_}"
            for module in sorted(m for m in graph.modules if m.startswith(package + ".")):
                name = module.removeprefix(package + ".").split(".")[0]
                if name in public or any(_within(module, f"{root}.{door}") for door in doors):
                    continue
                for importer in sorted(graph.find_modules_that_directly_import(module)):
                    owner = importer.split(".")[1]
                    if owner != slice_ and owner not in exempt:
                        broken.append((importer, module))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, module in check.metadata["broken"]:
            output.print_error(f"{importer} reaches into {module}")
