"""Whole flows on the local stack, as their users see them."""
