"""The budget of a sweep on a simulated machine: time passes as its pairs cost, and widths shrink as 1/√pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convbench.timing.allotment import FEWEST_PAIRS, Allotment

MINIMUM = 20


@dataclass
class Machine:
    """Configuration i scatters by `noise[i]`, a pair of it costs `pair_s[i]` and a visit `overhead_s[i]` besides; each
    visit takes up to `unsteady` more or less than that."""

    noise: list[float]
    pair_s: list[float]
    overhead_s: list[float]
    unsteady: float = 0.2
    seed: int = 0
    elapsed_s: float = 0.0
    pairs: list[int] = field(default_factory=list)
    visits: list[int] = field(default_factory=list)

    def spend(self, budget_s: float) -> Machine:
        n = len(self.noise)
        self.pairs, self.visits = [0] * n, [0] * n
        rng = np.random.default_rng(self.seed)
        allotment = Allotment(budget_s, MINIMUM, range(n))
        while visit := allotment.next(self.elapsed_s):
            i = visit.key
            assert isinstance(i, int)
            stretch = float(rng.uniform(1 - self.unsteady, 1 + self.unsteady))
            sampling_s = visit.pairs * self.pair_s[i] * stretch
            visit_s = sampling_s + self.overhead_s[i] * stretch
            self.elapsed_s += visit_s
            self.pairs[i] += visit.pairs
            self.visits[i] += 1
            allotment.report(visit, visit.pairs, self.width(i), sampling_s, visit_s)
        return self

    def width(self, i: int) -> float:
        return self.noise[i] / math.sqrt(self.pairs[i])

    @property
    def minimum_s(self) -> float:
        return sum(MINIMUM * p + o for p, o in zip(self.pair_s, self.overhead_s, strict=True))


def machine(n: int, seed: int, typical_pair_s: float = 0.02) -> Machine:
    rng = np.random.default_rng(seed)
    noise = np.exp(rng.normal(-3, 1, n)).tolist()
    pair_s = (typical_pair_s * np.exp(rng.normal(0, 0.5, n))).tolist()
    return Machine(noise, pair_s, [0.15] * n, seed=seed)


@given(st.integers(1, 60), st.floats(1.3, 20), st.integers(0, 10_000), st.sampled_from([0.002, 0.02, 0.2, 2.0]))
@settings(max_examples=300)
def test_the_run_ends_within_five_percent_of_the_budget(n, times, seed, pair_s):
    simulated = machine(n, seed, pair_s)
    # A pair is not divided.
    budget_s = max(times * simulated.minimum_s, 20.0, 40 * max(simulated.pair_s))
    simulated.spend(budget_s)
    assert 0.95 * budget_s <= simulated.elapsed_s <= 1.05 * budget_s


@pytest.mark.parametrize("seed", range(5))
def test_every_configuration_gets_the_minimum_and_the_widest_the_most(seed):
    simulated = machine(40, seed)
    simulated.spend(4 * simulated.minimum_s)
    assert min(simulated.pairs) >= MINIMUM
    widths = [simulated.width(i) for i in range(40)]
    at_first = [noise / math.sqrt(MINIMUM) for noise in simulated.noise]
    # Whoever got more than the minimum was wider at first than anyone who is now much wider than the rest.
    more = [i for i in range(40) if simulated.pairs[i] > MINIMUM]
    assert more
    assert min(at_first[i] for i in more) >= 0.5 * max(widths)
    # Of two, one of which was twice as wide, that one got at least as many.
    twice = [(i, j) for i in range(40) for j in range(40) if at_first[i] > 2 * at_first[j]]
    assert all(simulated.pairs[i] >= simulated.pairs[j] for i, j in twice)


@pytest.mark.parametrize("seed", range(5))
def test_the_widest_interval_is_close_to_the_best_that_the_time_allows(seed):
    simulated = machine(30, seed)
    budget_s = 5 * simulated.minimum_s
    simulated.spend(budget_s)
    widest = max(simulated.width(i) for i in range(30))

    def cost(level: float) -> float:
        """The least time for every half-width to be at most `level`, with one visit each: the judge knows the noise."""
        pairs = [max(MINIMUM, (noise / level) ** 2) for noise in simulated.noise]
        return sum(p * s + o for p, s, o in zip(pairs, simulated.pair_s, simulated.overhead_s, strict=True))

    low, high = 1e-6, 1.0
    for _ in range(60):
        level = math.sqrt(low * high)
        low, high = (level, high) if cost(level) > budget_s else (low, level)
    equal = max(noise / math.sqrt(5 * MINIMUM) for noise in simulated.noise)
    assert widest <= 1.35 * high
    assert widest < 0.8 * equal


def test_few_visits_are_spent_on_getting_going():
    simulated = machine(30, 3)
    simulated.spend(6 * simulated.minimum_s)
    overhead = sum(v * o for v, o in zip(simulated.visits, simulated.overhead_s, strict=True))
    assert overhead < 0.3 * simulated.elapsed_s


def test_the_minimum_is_handed_out_even_if_the_budget_is_too_short():
    simulated = machine(10, 0).spend(0.1)
    assert simulated.pairs == [MINIMUM] * 10
    assert simulated.visits == [1] * 10


def test_a_configuration_that_brings_no_pairs_is_left_alone():
    allotment = Allotment(100.0, MINIMUM, ["good", "broken"])
    for _ in range(2):
        visit = allotment.next(0.0)
        assert visit is not None
        good = visit.key == "good"
        allotment.report(visit, MINIMUM if good else 0, 0.01 if good else None, 1.0, 1.1)
    visit = allotment.next(10.0)
    assert visit is not None
    assert visit.key == "good"


def test_only_broken_configurations_end_the_run():
    allotment = Allotment(100.0, MINIMUM, ["broken"])
    visit = allotment.next(0.0)
    assert visit is not None
    allotment.report(visit, 0, None, 0.0, 3.0)
    assert allotment.next(3.0) is None


def test_a_configuration_without_an_interval_comes_first():
    allotment = Allotment(100.0, MINIMUM, ["slow", "wide"])
    for half_width in (None, 0.5):
        visit = allotment.next(0.0)
        assert visit is not None
        allotment.report(visit, 4, half_width, 4.0, 4.2)
    visit = allotment.next(10.0)
    assert visit is not None
    assert visit.key == "slow"


def test_one_that_does_not_fit_any_more_makes_room_for_one_that_does():
    allotment = Allotment(100.0, MINIMUM, ["slow", "fast"])
    for half_width, seconds in ((0.5, 60.0), (0.1, 2.0)):
        visit = allotment.next(0.0)
        assert visit is not None
        allotment.report(visit, MINIMUM, half_width, seconds, seconds + 0.1)
    visit = allotment.next(97.5)
    assert visit is not None
    assert visit.key == "fast"
    assert visit.pairs >= FEWEST_PAIRS


def test_an_empty_sweep_needs_no_time():
    assert Allotment(10.0, MINIMUM, []).next(0.0) is None
