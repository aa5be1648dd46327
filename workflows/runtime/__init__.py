"""What every part stands on: settings, AWS clients, clock, telemetry, and how input is read."""
