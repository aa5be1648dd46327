"""The fence protocol as a Promela model, searched by spin in every order of its calls.

`make model` runs the searches of `searches.py`; `transitions.toml` ties each transition of the
model to the condition in code or ASL, and `test_transitions.py` holds the two together.
"""
