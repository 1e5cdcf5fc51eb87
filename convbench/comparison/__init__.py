"""The gate: two runs compared, with verdicts that hold on a noisy machine."""
