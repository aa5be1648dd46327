"""What the emulators need mending, and that it is mended."""
