"""The smaller subcommands."""
