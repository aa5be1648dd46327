"""What must hold: the rules of sending, consuming, retrying and redriving.

Nothing in here knows HTTP, Lambda event shapes or decorators. `lambdas` calls it, never the
reverse.
"""
