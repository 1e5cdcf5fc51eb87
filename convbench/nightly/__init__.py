"""Scheduled runs: canary, sweep, gate and the baselines that good nights become."""
