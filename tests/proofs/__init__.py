"""Proofs: what shows that the protocol and the harness are right, beyond single cases."""
