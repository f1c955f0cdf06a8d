"""The command line. Speaks to the API through `client`, never to the database."""
