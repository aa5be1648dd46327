"""Files held against each other: template, roles, ASL, OpenAPI, settings."""
