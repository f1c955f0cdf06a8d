"""The declared side of what may be used: offers and entitlements."""
