"""The service: settings, composition root, HTTP, the command line, and the page."""
