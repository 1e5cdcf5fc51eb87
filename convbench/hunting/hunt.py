"""The hunt itself: propose, try, confirm alone, simplify, group; until the time is up or somebody stops it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..facts.record import Record
from ..facts.spec import Spec
from .objective import Hit, Objective
from .point import Asked, Point, environment_of, key_of
from .proposals import Guided, Proposal
from .region import Region, others, probe
from .simplify import Simplifier
from .space import Space
from .trials import Stopped, Trials, died_elsewhere

CONFIRMED = 3
"""Fresh processes in which the simplest place is run once more."""
PURSUED = 3
"""Hits of one method that may turn out to be of a region that is known, before others with the same op, gradient and
dtype are only counted."""

Say = Callable[[str], None]


@dataclass
class Tally:
    """What was tried and what was left out; `unconfirmed` are hits that did not come again in a fresh process or that
    the time did not suffice for, `unexplained` deaths of processes that nothing could be named for."""

    kinds: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
    unconfirmed: int = 0
    unexplained: int = 0
    largest: tuple[float, Point] | None = None


@dataclass
class Hunt:
    """`write` is called with each region when it is known, and again when more is; `confirming` are the settings of a
    measurement that is to be believed; with `most` regions it ends."""

    objective: Objective
    space: Space
    trials: Trials
    say: Say
    write: Callable[[Region], None]
    confirming: Mapping[str, Any]
    regions: list[Region] = field(default_factory=list)
    most: int | None = None
    tally: Tally = field(default_factory=Tally)
    _seen: set[Any] = field(default_factory=set)
    _merged: dict[Any, int] = field(default_factory=dict)

    def run(self, phases: Iterable[tuple[Iterable[Proposal], float]], guided: Callable[[], Guided] | None) -> None:
        """Tries the proposals of each phase, for so many seconds at most; returns when told to stop."""
        try:
            for proposals, for_s in phases:
                self._phase(proposals, for_s)
            if guided is not None:
                self._guide(guided())
        except Stopped:
            pass

    def _phase(self, proposals: Iterable[Proposal], for_s: float) -> None:
        begun = time.monotonic()
        for proposal in proposals:
            if time.monotonic() - begun > for_s:
                return
            self.attempt(proposal)

    def _guide(self, guided: Guided) -> None:
        while True:
            self.trials.stop()
            proposal = guided.proposal()
            if proposal is not None:
                rows = self.attempt(proposal)
                guided.told(self.objective.worth(rows, self.space.asked.baseline) if rows else None)

    def attempt(self, proposal: Proposal) -> list[Record]:
        """Tries one point; what it does that is hunted for is pursued. Returns its rows, none where it is left out."""
        kind, point = proposal
        key = key_of(point)
        if key in self._seen:
            return []
        self._seen.add(key)
        asked = self._asked_at(point)
        if asked is None:
            self.tally.left_out += 1
            return []
        self.tally.kinds[kind] = self.tally.kinds.get(kind, 0) + 1
        rows = self.trials.tried(asked, point, kind)
        self._note_worth(rows, point)
        for hit in self.objective.hits(rows, asked.baseline):
            self._found(hit, point, kind)
        if self.objective.name == "crash" and any(died_elsewhere(row) for row in rows):
            self._after_effects(point, kind)
        if self.most is not None and len(self.regions) >= self.most:
            raise Stopped
        return rows

    def _asked_at(self, point: Point) -> Asked | None:
        """The methods to try; those that crash in a region that the point is in are left out, as each costs a
        process."""
        asked = self.space.asked
        if self.objective.name != "crash":
            return asked
        known = {region.hit.method for region in self.regions if region.holds(point)}
        left = tuple(method for method in asked.methods if method not in known)
        if not left:
            return None
        return replace(asked, methods=left, baseline=left[0]) if known else asked

    def _note_worth(self, rows: list[Record], point: Point) -> None:
        worth = self.objective.worth(rows, self.space.asked.baseline)
        if worth is not None and (self.tally.largest is None or worth > self.tally.largest[0]):
            self.tally.largest = worth, point

    def _found(self, hit: Hit, point: Point, kind: str, elsewhere: bool = False) -> None:
        for region in self.regions:
            if region.holds(point, hit.method) and not self.objective.worse(hit, region.hit):
                region.note(hit, point)
                return
        coarse = (hit.method, *(str(point[key]) for key in ("op", "wrt", "dtype")), *environment_of(point).items())
        if self._merged.get(coarse, 0) >= PURSUED:
            self.tally.left_out += 1
            return
        try:
            self._pursue(hit, point, kind, elsewhere, coarse)
        except Stopped:
            self.tally.unconfirmed += not any(region.origin is point for region in self.regions)
            raise

    def _after_effects(self, point: Point, kind: str) -> None:
        """A process died in something that is well by itself: what had run there before is looked at."""
        suspects = self.trials.suspects
        self.say(f"a process died in a configuration that is well by itself; looking at {len(suspects)} that ran in it")
        culprit = self.trials.culprit(suspects[-1:]) or self.trials.culprit(suspects)
        if culprit is None:
            self.tally.unexplained += 1
            return
        found = self._point_of(culprit, point)
        for method in culprit.arms:
            rows = self.trials.alone(self.space.asked.of(method), found, "confirm")
            for hit in self.objective.hits(rows, method):
                self._found(hit, found, kind, elsewhere=culprit is not suspects[-1])

    def _point_of(self, spec: Spec, like: Point) -> Point:
        """The point that a configuration of this search was tried as."""
        case = {key: getattr(spec.case, key) for key in like if hasattr(spec.case, key)}
        own = {key: getattr(spec, key) for key in like if hasattr(spec, key) and key not in case}
        return {**like, **case, **own, "threads": spec.switches.threads, "onednn": spec.switches.onednn}

    def _pursue(self, hit: Hit, point: Point, kind: str, elsewhere: bool, coarse: Any) -> None:
        """Confirms a hit in a fresh process, makes it as simple as it goes, and files it under its region."""
        asked = self._asked_of(hit)
        self.say(f"{hit.method}: {hit.said[:90]}; confirming")
        rows = self.trials.alone(asked, point, "confirm", **self.confirming)
        confirmed = self._hit_in(rows, asked, hit.method)
        if confirmed is None:
            self.tally.unconfirmed += 1
            return
        region = Region(confirmed, point, point, kind, rows, elsewhere=elsewhere)
        self.regions.append(region)
        try:
            self._simplify(region, asked)
            merged = next((r for r in self.regions if self._one(r, region)), None)
            if merged is not None:
                self.regions.remove(region)
                merged.note(hit, point)
                self._merged[coarse] = self._merged.get(coarse, 0) + 1
                return
            region.done = True
        finally:
            if region in self.regions:
                self.write(region)

    def _one(self, known: Region, found: Region) -> bool:
        """Whether a region that was found is one that is known."""
        return known is not found and known.same(found) and not self.objective.worse(found.hit, known.hit)

    def _simplify(self, region: Region, asked: Asked) -> None:
        def does(point: Point) -> bool:
            region.steps += 1
            hit = self._hit_in(self._again(asked, point, "simplify"), asked, region.hit.method)
            return hit is not None and self.objective.kept(hit, region.hit)

        search = Simplifier(region.point, does, asked.legal, self.space.allowed())
        try:
            search.run()
        finally:
            region.point = search.best
        self._settle(region, asked)
        places = others(region.point, self.space.environments)
        probe(region, {key: place for key, place in places.items() if asked.legal(place)}, does)

    def _again(self, asked: Asked, point: Point, kind: str) -> list[Record]:
        """The rows of a point on the way to a simpler one: what kills runs alone, the rest with others."""
        if self.objective.name == "crash":
            return self.trials.alone(asked, point, kind)
        return self.trials.tried(asked, point, kind)

    def _settle(self, region: Region, asked: Asked) -> None:
        """Runs the simplest place in fresh processes, for its figures and to see how often it does it."""
        found: list[tuple[Hit, list[Record]]] = []
        for turn in range(CONFIRMED):
            rows = self.trials.alone(asked, region.point, f"confirm {turn + 1}", **self.confirming)
            hit = self._hit_in(rows, asked, region.hit.method)
            if hit is not None:
                found.append((hit, rows))
        region.times = len(found), CONFIRMED
        if found:
            found.sort(key=lambda one: one[0].value or 0.0)
            region.hit, region.rows = found[len(found) // 2]
        else:  # what only others' company brought about: back to where it was first confirmed
            region.point = region.origin

    def _asked_of(self, hit: Hit) -> Asked:
        """What confirms a hit: the method alone, or the two that are compared."""
        if hit.rival is not None:
            return self.space.asked.of(hit.rival, baseline=hit.method)
        return self.space.asked.of(hit.method)

    def _hit_in(self, rows: list[Record], asked: Asked, method: str) -> Hit | None:
        return next((hit for hit in self.objective.hits(rows, asked.baseline) if hit.method == method), None)
