"""The embedded local stack: an AWS emulator on loopback that runs this project's own template.

Nothing in here is packed into a Lambda, and nothing in `workflows` or `lambdas` knows about it.
"""
