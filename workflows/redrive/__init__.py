"""Redrive runs: what `statemachines/redrive.asl.json` needs decided, and the records of runs."""
