"""Using a trained network: what a checkpoint tells, and scans in, reconstructions out."""
