"""The report page: what it says, how it is drawn, and the command that writes it."""
