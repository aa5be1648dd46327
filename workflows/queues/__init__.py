"""What a queue is: the built-in pair, or one that somebody registered."""
