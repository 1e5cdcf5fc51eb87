"""What measures, in a process of its own: figures by name, and no verdicts."""
