"""From a command line to configurations, and on to whoever runs them; Hydra is known here alone."""
