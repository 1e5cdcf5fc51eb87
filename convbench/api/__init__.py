"""convbench from Python: what the command line does, for notebooks, scripts and tests."""
