"""The proof that the owner of a device runs once: are convbench's figures right on it? `validate --proof`.

Three stages of checks, each with what is expected and what was observed: `primitives` (what timing rests on, and
planted faults through the program), `timers` (times beside those of other timers), `program` (the whole program there).
Importing this package imports no torch; what measures does so in processes of its own (figures/, planted/).
"""
