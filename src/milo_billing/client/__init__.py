"""The HTTP client of the API, for the command line, the console, the demo and tests."""
