"""Cache tiers: what they hold, and where."""
