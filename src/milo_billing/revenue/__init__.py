"""What was earned: recognition schedules. Not built yet; this package keeps its place in the layers."""
