"""The coverage-guided fuzzer, one process: run by `fuzz_ingest`, which brings a database with a provider on it."""

import gzip
import random
import sys
import zlib

import atheris
from atheris.import_hook import instrument_imports

with instrument_imports(include=["milo_billing.usage"]):
    from tests.fuzz.harness import harness

from tests.fuzz.mutations import mutate


def mutated(data: bytes, size_max: int, seed: int) -> bytes:
    """Another input: half of the time by structure, else as the fuzzer thinks."""
    chance = random.Random(seed)
    if chance.random() < 0.4 or len(data) < 2:
        return atheris.Mutate(data, size_max)
    door, body = data[:1], data[1:]
    if door == b"g":
        try:
            body = gzip.compress(mutate(gzip.decompress(body), chance), 1)
        except (OSError, EOFError, zlib.error):
            body = mutate(body, chance)
    else:
        body = mutate(body, chance)
    return (door + body)[:size_max]


def main() -> None:
    """Fuzz the database named by the first argument, with options of libFuzzer."""
    conninfo, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], harness(conninfo).take, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
