"""A method on its way through one configuration, in this process or in one of its own: judged, timed, measured.

What is known of it so far is its row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from .devices import device_of
from .endings import failure, sentence
from .facts.record import FAILED
from .facts.spec import Spec
from .facts.timed_as import BACKWARD, CALL, WALL
from .failures.failure import Failure, of_end, of_wrong, told_by
from .failures.kept import NOTHING_TOLD, Told
from .failures.wrong import Wrong
from .guest import Guest
from .hosts import Hosts
from .measurement import problem, reference
from .measurement.accuracy import judge
from .measurement.accuracy_columns import accuracy_columns, same, worse
from .measurement.joint import Result, Truth, truth_of
from .measurement.poison import poison
from .measurement.problem import Problem
from .memory_columns import kernel_columns, marked_call, memory_columns
from .methods.in_training import as_backward
from .methods.own import Prepare, context_of, declared_accuracy, is_own, load
from .operand_sets import Sets
from .timing.clocks import Arm, Call, Lost
from .timing.rounds import Stage

SAID = {CALL: "by its calls", WALL: "by the host's clock", BACKWARD: "as the backward of an autograd.Function"}
"""Ways of timing in words."""

Further = dict[str, tuple[Problem, Truth]]
"""The other kinds of data that a configuration names, made when the first method is judged on them."""


@dataclass(slots=True)
class Candidate:
    """`guest`: the process that the method has for itself. `call`: what is timed, None until it has been judged.
    `in_training`: the same as the backward of an autograd.Function, None where there is no such thing; `left_out` of
    these ways of timing. `meddles`: it was seen to change its operands.
    """

    name: str
    spec: Spec
    row: dict[str, Any]
    guest: Guest | None = None
    call: Callable[[], Result] | None = None
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    meddles: bool = False
    declared: str | None = None
    _wrong: Wrong | None = None
    in_training: Call | None = None
    left_out: set[str] = field(default_factory=set)
    _told: Told = NOTHING_TOLD

    @property
    def timeable(self) -> bool:
        return self.call is not None and self.right

    @property
    def right(self) -> bool:
        return self.row["status"] == "ok" and self.row.get("accuracy") != "fail"

    def heed(self, said: Mapping[str, Any]) -> None:
        """Takes what its code changed in this process into the row, unless that has a worse reason already."""
        if self.right and ("accuracy" in said or not self.row.get("reason")):
            self.row.update(said)

    @property
    def arm(self) -> Arm:
        assert self.call is not None
        return Arm(self.name, self.call, self.context)

    def timed_as(self, timed_as: str) -> Arm | None:
        """What is timed of it in this way; None where nothing is."""
        if not self.timeable or timed_as in self.left_out:
            return None
        if timed_as == CALL or (self.guest is None and (timed_as == WALL or self.context is nullcontext)):
            return self.arm
        if self.guest is not None:
            return Arm(self.name, self.guest.timed_as(timed_as))
        return None if self.in_training is None else Arm(self.name, self.in_training)

    def judge(self, made: Problem, truth: Truth, stage: Stage, further: Further) -> Result:
        """The result for the configuration's own operands; the row has the verdict. Raises what the method raises."""
        got: Result
        if self.guest is not None:
            got, row = self.guest.judge(made, truth)
            self.row.update(row)
            self.call = self.guest
            return got
        stage(self.name, "prepare")
        device = device_of(made.spec.device)
        begun = time.perf_counter()
        prepare = load(self.name)
        self.context, self.declared = context_of(prepare), declared_accuracy(prepare)
        call = prepare(made)
        device.synchronize()
        self.row["prepare_s"] = time.perf_counter() - begun
        stage(self.name, "accuracy")
        with self.context():
            poison(made)
            begun = time.perf_counter()
            got = call()
            device.synchronize()
            self.row["first_call_s"] = time.perf_counter() - begun
            if self.spec.check_repeatable:
                poison(made)
                again = call()
                device.synchronize()
                self.row["repeatable"] = same(got, again)
        self._found(accuracy_columns(got, made, truth, declared_accuracy(prepare)), Wrong(got, made, truth))
        self._judge_on_further_data(prepare, further)
        self.call = call
        return got

    def judge_in_training(self, made: Problem, truth: Truth, got: Result, stage: Stage) -> None:
        """Makes `in_training` of a right method that does not go through autograd, if what that returns is right, too.

        Where it is not, or cannot be called so, the row tells.
        """
        if not self.timeable or self.guest is not None or self.context is nullcontext or not self.spec.in_backward:
            return
        assert self.call is not None
        stage(self.name, "accuracy")
        try:
            call = as_backward(made, self.call)
            again = call()
            device_of(made.spec.device).synchronize()
            right = same(again, got) or judge(again, made, truth, declared_accuracy(load(self.name))).verdict != "fail"
        except Exception as error:  # the method's own code, where autograd calls it
            self._leave_out(BACKWARD, f"{type(error).__name__}: {error}")
            return
        if right:
            self.in_training = call
        else:
            self._leave_out(BACKWARD, "another gradient, which is wrong")

    def believe(self, timed_as: str) -> None:
        """Asks the process that it was timed in whether its times can be true: it has failed where they cannot, and
        has none where that could not be told."""
        assert self.guest is not None
        try:
            doubt = self.guest.verdict()
        except Lost as lost:
            self.fail(lost)
            return
        if doubt is not None and doubt.proved:
            self.row.update(accuracy="fail", reason=doubt.reason)
        elif doubt is not None:
            self._leave_out(
                timed_as, f"it could not be told whether what was timed is what was judged ({doubt.reason})"
            )

    def _fails_when_called(self) -> Exception | None:
        """What a method in this process raises by now where nothing but its caller calls it."""
        if self.guest is not None or self.call is None:
            return None
        try:
            with self.context():
                self.call()
        except Exception as error:  # the method's own code
            return error
        return None

    def _leave_out(self, timed_as: str, why: str) -> None:
        self.left_out.add(timed_as)
        if not self.row.get("reason"):
            self.row["reason"] = f"not timed {SAID[timed_as]}: {sentence(why)}"

    def _judge_on_further_data(self, prepare: Prepare, further: Further) -> None:
        """On every other kind of data that the configuration names; the accuracy columns are those of the worst."""
        for fill in self.spec.fills[1:]:
            if fill not in further:
                made = problem.make(replace(self.spec, fill=fill))
                further[fill] = made, truth_of(made, reference.computed)
            made, truth = further[fill]
            call = prepare(made)
            with self.context():
                poison(made)
                got = call()
            found = accuracy_columns(got, made, truth, declared_accuracy(prepare))
            self._found(worse(self.row, self.spec.fills[0], found, fill), Wrong(got, made, truth))

    def _found(self, found: Mapping[str, Any], result: Wrong) -> None:
        """Takes accuracy columns into the row; where they say that a result is wrong, how."""
        self.row.update(found)
        if found.get("accuracy") == "fail":
            self._wrong = result
            self.row["reason"] = result.added_to(found["reason"])

    @property
    def wrong(self) -> Wrong | None:
        """The wrong result that the row tells of, where it is one."""
        return self._wrong if self.guest is None else self.guest.wrong

    def drop(self, error: BaseException, timed_as: str = CALL) -> None:
        """Makes the row that of a method that failed while it was timed, unless its process is to be another one.

        One that fails as part of a training step alone is not timed so, and its row says why.
        """
        if timed_as != CALL and not (isinstance(error, Lost) and error.row.get("accuracy") == "fail"):
            said = error.row.get("reason") if isinstance(error, Lost) else f"{type(error).__name__}: {error}"
            if (own := self._fails_when_called()) is not None:
                self.row.update(failure(own))
                return
            self._leave_out(timed_as, str(said))
            if self.guest is not None:
                with suppress(Lost):
                    self.guest.prepare()
            return
        try:
            if self.guest is not None and self.guest.again(error):
                self.guest.prepare()
                return
        except Lost as lost:
            error = lost
        self.fail(error)

    def fail(self, error: BaseException) -> None:
        """Makes the row that of a method that raised or was lost."""
        self.row.update(failure(error))
        self._told = told_by(error)

    def failure(self, made: Problem | None, truth: Truth | None) -> Failure | None:
        """What is to be kept of it if it failed, while it was asked for the gradient of `made`."""
        wrong = self.wrong
        if self.row["status"] in FAILED:
            return of_end(self.name, self._told, made, truth)
        if self.row.get("accuracy") != "fail" or wrong is None:
            return None
        declared = self.declared if self.guest is None else self.guest.declared
        return of_wrong(self.name, wrong, Told("", "" if self.guest is None else self.guest.output), declared)

    def measure_memory(self, made: Problem) -> None:
        try:
            self.row.update(self.guest.memory() if self.guest else memory_columns(self.arm, load(self.name), made))
        except Exception as error:  # after the timing: the times stand, the reason says what is missing
            self._note(f"memory not measured: {sentence(str(error))}")

    def mark_call(self) -> None:
        try:
            if self.guest is not None:
                self.guest.profile()
            else:
                marked_call(self.arm, self.spec)
        except Exception as error:  # the verdict stands
            self._note(f"not marked: {sentence(str(error))}")

    def name_kernels(self) -> None:
        try:
            self.row.update(self.guest.kernels() if self.guest else kernel_columns(self.arm, self.spec.device))
        except Exception as error:  # as above
            self._note(f"kernels not named: {sentence(str(error))}")

    def _note(self, text: str) -> None:
        self.row["reason"] = "; ".join(filter(None, (self.row.get("reason"), text)))


def candidates(methods: Sequence[str], common: Mapping[str, Any], spec: Spec, hosts: Hosts | None) -> list[Candidate]:
    """One for each method; the user's own get the processes that `hosts` has, which start beside each other."""
    sets = Sets(spec)
    found = [Candidate(name, spec, {**common, "method": name, "status": "ok"}) for name in methods]
    for method in found:
        if hosts is not None and is_own(method.name):
            method.guest = Guest(hosts.of(method.name), method.name, spec, sets)
    return found
