"""Results in a form that is unusual and right."""

from __future__ import annotations

from convbench.runner import run
from convbench.timing.rounds import unmarked

from .processes import make_spec


def test_a_result_whose_sign_is_only_noted_is_right() -> None:
    spec = make_spec("faulty:calm", "faulty:negated_lazily")
    rows = {row["method"]: row for row in run(spec, spec.arms, unmarked, 0, {}).records}
    plain, lazily = rows["tests.faulty:calm"], rows["tests.faulty:negated_lazily"]
    assert (lazily["status"], lazily["accuracy"]) == ("ok", plain["accuracy"]), lazily.get("reason")
    assert lazily["result_hash"] == plain["result_hash"]
