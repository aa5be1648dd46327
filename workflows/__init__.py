"""What must hold: the rules of sending, consuming, retrying and redriving.

Nothing in here knows HTTP, Lambda event shapes or decorators. `lambdas` calls it, never the
reverse.
"""

# The one place that has it: pyproject.toml, the API's document and CHANGELOG go by this.
__version__ = "1.0.0"
