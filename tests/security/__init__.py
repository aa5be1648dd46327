"""What scanners find in the project, each finding mended or with a reason (`make security`)."""
