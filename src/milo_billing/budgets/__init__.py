"""What was expected: budgets, forecasts, anomalies. Not built yet; this package keeps its place in the layers."""
