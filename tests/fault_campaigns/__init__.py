"""Campaigns against the program, for whoever releases it: thousands of tries, seeded, each a command of its own."""
