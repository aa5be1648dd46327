"""The rules and handlers, module by module, in process: no sockets."""
