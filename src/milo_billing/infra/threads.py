"""How the threads of a process share its interpreter, where several of them compute and ask the database by turns."""

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.0005
"""A thread waits for PostgreSQL a dozen times a group of events or an account of a run. With Python's 5 ms it would
each time wait as long again for a thread that computes: more than the group itself takes."""

GARBAGE_THRESHOLDS: Final = (20_000, 20, 20)
"""Requests and lines come and go by the thousand and leave no cycles behind; looking for some at every 700th object
takes a seventh of the gateway's event loop."""


def share_interpreter() -> None:
    """Sets for the whole process how threads take turns, and how often garbage is looked for. Safe to repeat."""
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(*GARBAGE_THRESHOLDS)
