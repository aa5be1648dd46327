"""FIFO groups: the fence behind which a group waits for its failed message."""
