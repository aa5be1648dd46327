"""The proof that the harness can tell a bad redriver from a good one.

`stories` are faults that any redriver can meet, told through SQS and the consumer alone; `naive` is
a redriver as many scripts are; `mutants` are the shipped one with one thing broken each.
`make tables` writes what each story found into
`docs/testing.md`.
"""
