"""What the campaigns against the program try, and what they call a fault; the tries themselves are `make campaigns`."""

from __future__ import annotations

import random

import pytest

from convbench.cli import COMMANDS
from tests.fault_campaigns import command_lines, damaged_files
from tests.fault_campaigns.forked import Told, fault


def test_the_same_seed_tries_the_same_lines() -> None:
    one, other = ([command_lines.line(rng, "run") for _ in range(200)] for rng in (random.Random(7), random.Random(7)))
    assert one == other
    assert len({tuple(words) for words in one}) > 150


def test_no_line_writes_anywhere_but_where_the_campaign_lets_it() -> None:
    rng = random.Random(0)
    for words in (command_lines.line(rng, "run") for _ in range(2000)):
        places = [word for word in words if word.lstrip("+").startswith(command_lines.KEPT)]
        assert places in ([], ["out=OUT"])


def test_every_command_is_spoilt() -> None:
    assert {words[0] for words in command_lines.GOOD} >= COMMANDS.keys()


def test_every_command_that_reads_a_run_is_tried_on_damaged_ones() -> None:
    tried = {words[0] for words in damaged_files.COMMANDS.values()} & COMMANDS.keys()
    assert tried | set(damaged_files.READ_NO_RUN) >= COMMANDS.keys()
    assert not tried & set(damaged_files.READ_NO_RUN)


@pytest.mark.parametrize("kind", damaged_files.DAMAGE)
def test_every_kind_of_damage_changes_the_file(kind: str) -> None:
    data = bytes(range(1, 256)) * 8
    assert damaged_files.DAMAGE[kind](random.Random(0), data) != data


@pytest.mark.parametrize(
    "found, wrong",
    [
        (Told(0, "table", ""), False),
        (Told(2, "", "convbench: kernel=0 is not allowed\n"), False),
        (Told(2, "", "usage: convbench\n"), True),
        (Told(1, "", "Traceback (most recent call last):\nZeroDivisionError\n"), True),
        (Told(5, "", ""), True),
        (Told(-11, "", ""), True),
        (Told(None, "", ""), True),
        (Told(0, "\x1b[2J", ""), True),
    ],
)
def test_what_counts_as_a_fault(found: Told, wrong: bool) -> None:
    assert bool(fault(found)) is wrong
