"""What asv measures of each commit: absolute times of hotloop alone. Ratios to peers are in tests/bench."""
