"""DynamoDB's units a message, counted on each path of a message's life (moto, in process)."""
