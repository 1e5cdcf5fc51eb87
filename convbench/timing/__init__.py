"""Paired, interleaved timing: clocks, rounds, samples and the figures that follow from them."""
