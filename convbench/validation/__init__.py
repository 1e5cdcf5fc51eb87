"""Whether timings from this machine can be trusted, proved on the machine itself."""
