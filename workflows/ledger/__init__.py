"""The ledger: one row a message in the `Messages` table, which says where the message is."""
