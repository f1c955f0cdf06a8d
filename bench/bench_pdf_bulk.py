"""Invoices in bulk: 10,000 PDFs of ten lines each, through one process that is replaced now and then.

One process at a time, so that documents a second are those of one core: by the processor time of both processes, since
others may be at work on the machine; what the clock says is told beside. Memory is the summed PSS of this process and
of the one that writes, looked at after every hundred documents.
"""

import os
import random
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.bench_pdf import make_document
from bench.figures import Figure
from milo_billing.adapters.child_documents import ChildDocuments

NAME = "pdf_bulk"
DOCUMENTS = 10_000
LINES = 10
WARM_UP = 100
LOOK_EVERY = 100
GROWTH_MB_MAX = 32
"""What the first hundred documents took may be passed by so much, however many follow."""


def run(documents: int = DOCUMENTS) -> Sequence[Figure]:
    """Write them one after the other, each a different one."""
    randomness = random.Random(2026)
    writer = ChildDocuments(children=1)
    memory_mb: list[float] = []
    seen: set[int] = set()
    try:
        for number in range(1, WARM_UP + 1):
            writer.write(make_document(number, randomness, lines=LINES))
            seen.update(writer.processes)
            if number % 10 == 0:
                memory_mb.append(_memory_mb(writer))
        start_mb, memory_mb = max(memory_mb), []
        busy_s, cpu_s = 0.0, _cpu_s(writer)
        for number in range(1, documents + 1):
            document = replace(make_document(number, randomness, lines=LINES), account=f"bulk-{number}/main")
            began = time.perf_counter()
            writer.write(document)
            busy_s += time.perf_counter() - began
            seen.update(writer.processes)
            if number % LOOK_EVERY == 0 and writer.processes:
                memory_mb.append(_memory_mb(writer))
    finally:
        writer.close()
    cpu_s = _cpu_s(writer) - cpu_s
    return (
        Figure(f"pdf_bulk/{documents}_a_second_of_one_core", documents / cpu_s, "1/s", bar=15, sense=">="),
        Figure(f"pdf_bulk/{documents}_a_second_by_the_clock", documents / busy_s, "1/s"),
        Figure("pdf_bulk/memory_at_the_start", start_mb, "MB PSS"),
        Figure("pdf_bulk/memory_median", statistics.median(memory_mb), "MB PSS"),
        Figure("pdf_bulk/memory_growth", max(memory_mb) - start_mb, "MB PSS", GROWTH_MB_MAX, "<="),
        Figure("pdf_bulk/processes", len(seen), ""),
    )


def _cpu_s(writer: ChildDocuments) -> float:
    """Processor time of this process, of those that write and of those that did."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = 0
    for process in writer.processes:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        living += int(fields[11]) + int(fields[12])  # utime and stime of proc(5), in ticks
    return time.process_time() + ended.ru_utime + ended.ru_stime + living / os.sysconf("SC_CLK_TCK")


def _memory_mb(writer: ChildDocuments) -> float:
    return sum(_proportional_kb(path) for path in ("self", *map(str, writer.processes))) / 1024


def _proportional_kb(process: str) -> int:
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise ValueError(f"process {process} says nothing of its memory")
