"""Organizations and projects, and the numbers that stand for them below the control plane."""
