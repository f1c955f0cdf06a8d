"""What it costs: price models, unit conversion, rated lines."""
