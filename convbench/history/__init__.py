"""Many runs of the same sweep, one a night: which cells changed, when, and whether it was the code or a version."""
