"""Time files in a phone's browser, by LiteRT.js: the page, its server, and what the phone sends back."""
