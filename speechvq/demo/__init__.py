"""The demo in the browser: the page, what it draws, and voices that are enrolled through it."""
