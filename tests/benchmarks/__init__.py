"""What convbench itself costs per configuration, timed by pytest-benchmark; `make microbench` runs it."""
