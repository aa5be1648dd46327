"""Who calls: one module a Lambda function, named by what it does: parse, one call, reply."""
