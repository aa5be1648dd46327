"""The second engine: the application in one process, on moto's AWS and moto's interpreter of ASL.

`stack.MotoStack` is the application, shaped like `local.stack.Stack`; `as_aws.as_aws()` is what
moto needs to behave as AWS does; `statements` are PartiQL's.
"""
