"""Faults: for each row of `rows.ROWS` what must hold after it, by the checker of all invariants.

Everything runs on `MotoStack`: the shipped machines and handlers in this process, so that a test
stops, kills or refuses exactly where it says.
"""
